"""Direct effects along paths: from senders to a set of receivers, and between members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..experiment.sites import Shape, Site
from ..showing.site_grid import SiteGrid
from ..showing.writing import Rows
from .receivers import Receiver, print_receivers

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class PathPatch:
    """What each sender does to a set of receivers directly, over one pair or many.

    `logit_diff`: logit(answer) − logit(distractor) with that path patched, [pairs senders]; NaN
    where a sender comes after every receiver. `clean`: the same with nothing patched, [pairs].
    `notes`: sentences.
    """

    senders: tuple[Site, ...]
    receivers: tuple[Receiver, ...]
    logit_diff: Float[np.ndarray, "pairs senders"]
    clean: Float[np.ndarray, " pairs"]
    notes: tuple[str, ...] = ()

    @property
    def effect(self) -> Float[np.ndarray, " senders"]:
        """The change of the logit difference, mean over pairs. Negative: the path carries what
        makes the answer right; NaN where there is no path."""
        return (self.logit_diff - self.clean[:, None]).mean(0)

    def grid(self, shape: Shape) -> SiteGrid:
        """`effect` of each head and MLP of such a model."""
        values = dict(zip(self.senders, self.effect.tolist(), strict=True))
        return SiteGrid.of(shape, values, "change of the logit\ndifference", signed=True)

    def figure(self, shape: Shape) -> go.Figure:
        """What each sender does to the receivers directly: layers down, heads across, MLPs at the
        right; blank where nothing was asked or no path leads."""
        clean = float(self.clean.mean())
        hover = {
            site: f"<b>{site}</b> {effect:+.3f}<br>of {clean:.3f} with nothing patched"
            for site, effect in zip(self.senders, self.effect.tolist(), strict=True)
        }
        return self.grid(shape).figure(hover)

    def table(self) -> Rows:
        """One row a sender, the largest effects first: the change of the logit difference when
        its path to the receivers is patched, mean and spread over pairs; those without a path
        are left out."""
        change = self.logit_diff - self.clean[:, None]
        order = np.argsort(-np.abs(np.nan_to_num(self.effect)), kind="stable")
        return [
            {
                "sender": str(self.senders[i]),
                "receivers": print_receivers(self.receivers),
                "effect": float(self.effect[i]),
                "std": float(change[:, i].std()),
                "clean": float(self.clean.mean()),
                "n": len(self.clean),
            }
            for i in order
            if np.isfinite(self.effect[i])
        ]


@dataclass(frozen=True)
class PathMatrix:
    """What each member does directly to each input of the others, and to the logits.

    `inputs`: for each column, its receivers: one (`split`), or a head's three together. `effect`:
    change of the logit difference when that path alone is patched, mean over pairs, [senders
    inputs], negative where it carries what makes the answer right; NaN where there is no path.
    `clean`: the mean logit difference with nothing patched.
    """

    senders: tuple[Site, ...]
    inputs: tuple[tuple[Receiver, ...], ...]
    effect: Float[np.ndarray, "senders inputs"]
    clean: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edge:
    """A direct path that is kept. `effect`: the change of the logit difference when it alone is
    patched, negative where it carries what makes the answer right; `share`: of the clean one."""

    sender: Site
    receivers: tuple[Receiver, ...]
    effect: float
    share: float
