"""Direct effects along paths: from senders to a set of receivers, and between members."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..experiment.sites import Shape, Site
from ..showing.site_grid import SiteGrid
from .receivers import Receiver


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
