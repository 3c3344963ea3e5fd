"""The score by gradients of every edge between heads, MLPs, embedding and logits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..errors import ExperimentError, SiteError
from ..experiment.sites import Shape, Site, Stream, parse_sites
from ..paths.receivers import Receiver, parse_receivers
from ..paths.results import PathMatrix, PathPatch
from ..showing.site_grid import SiteGrid
from ..showing.writing import Rows
from ..sweeps.estimates import Agreement, agreement_of
from .results import Integrated

if TYPE_CHECKING:
    import plotly.graph_objects as go

EMBEDDING = Stream(0)
"""The sender that no layer is: what enters layer 0, tokens and positions."""


@dataclass(frozen=True)
class EdgeAttribution(Integrated):
    """What each edge is predicted to change when its sender becomes what it is in the corrupted run
    for its receiver alone, by gradients integrated between the two runs: estimates, never exact.

    `score` and `spread` [sender receiver]: mean and standard deviation, as of a population, over
    the `n` prompts done, of the change of the metric, below 0 where the edge helps the answer; NaN
    where the sender does not come before the receiver. `senders`: r0, all of what enters layer 0,
    then every head and MLP. `receivers`: the query input of each head, the key and value input of
    each key-value head, written as of the first head that reads them, each MLP's input, and the
    logits. `shape`: the model's. Source: Syed, Rager & Conmy 2023; Hanna, Pezzelle & Belinkov 2024.
    What it does not show: edges together, and what is not seen in the slope along the way between
    the inputs.
    """

    shape: Shape
    senders: tuple[Site, ...]
    receivers: tuple[Receiver, ...]
    score: Float[np.ndarray, "sender receiver"]
    spread: Float[np.ndarray, "sender receiver"]
    n: int

    @property
    def n_edges(self) -> int:
        """How many edges there are."""
        return int(self._is_edge.sum())

    @property
    def completeness(self) -> float:
        """The edges from what enters layer 0 together, as a share of corrupted − clean, means over
        prompts: 1 where there are steps enough. NaN where both runs score alike."""
        every = np.nansum(self.score[0]) if self.n else np.nan
        return self._completeness(np.full(1, every))

    def into(self, receivers: str | Iterable[Receiver] = "logits") -> Float[np.ndarray, " sender"]:
        """The scores of the edges from each sender to these receivers, as in `"3.1.q m4 logits"`,
        added up, as slopes add; NaN where it reaches none.

        Raises: SiteError for a receiver that there is none of.
        """
        scores = self.score[:, self.columns(receivers)]
        none = np.isnan(scores).all(1)
        return np.where(none, np.nan, np.nansum(scores, axis=1))

    def spread_into(
        self, receivers: str | Iterable[Receiver] = "logits"
    ) -> Float[np.ndarray, " sender"]:
        """The spread over prompts of the edge from each sender to one receiver; NaN where there is
        none, and of several receivers, whose sums are not kept prompt by prompt."""
        own = self.columns(receivers)
        return self.spread[:, own[0]] if len(own) == 1 else np.full(len(self.senders), np.nan)

    def columns(self, receivers: str | Iterable[Receiver]) -> list[int]:
        """Where these receivers are among all. Raises: SiteError for one that there is none of."""
        some = parse_receivers(receivers, self.shape)
        at = {receiver: j for j, receiver in enumerate(self.receivers)}
        shared = self.shape.n_heads // self.shape.n_key_value_heads
        own = dict.fromkeys(_first(receiver, shared) for receiver in some)
        lacking = next((r for r in own if r not in at), None)
        if lacking is not None:
            raise SiteError(f"{lacking} is no receiver of these edges.")
        return [at[r] for r in own]

    def agreement(self, exact: PathPatch | PathMatrix) -> Agreement:
        """How well the scores predicted the exact effects of paths patched in the same pairs by
        `resample`: of receivers that were patched together, the sum of their edges.

        Raises: ExperimentError for another metric: paths are of the logit difference.
        """
        if self.metric != "logit_diff":
            raise ExperimentError("Paths are patched for the logit difference, and the scores are "
                                  "of the log-probability.")  # fmt: skip
        rows = [self.senders.index(site) for site in exact.senders]
        if isinstance(exact, PathPatch):
            return agreement_of(self.into(exact.receivers)[rows], exact.effect)
        own = [self.into(some)[rows] for some in exact.inputs]
        return agreement_of(np.stack(own, axis=1), exact.effect)

    def grid(self, receivers: str | Iterable[Receiver] = "logits") -> SiteGrid:
        """`into` these receivers, of each head and MLP; all of it estimated. Blue: towards the
        answer."""
        scores = dict(zip(self.senders, self.into(receivers).tolist(), strict=True))
        values = {s: v for s, v in scores.items() if s != EMBEDDING and not np.isnan(v)}
        name = f"estimated {self._change}"
        return SiteGrid.of(self.shape, values, name, signed=True, inexact=frozenset(values))

    def figure(self, receivers: str | Iterable[Receiver] = "logits") -> go.Figure:
        """What each head and MLP is predicted to do to the receivers directly; blank where no edge
        leads. All hatched, as these are estimates."""
        return self.grid(receivers).figure()

    def beside_figure(self, exact: PathPatch) -> go.Figure:
        """A point for each head and MLP with a path to the receivers patched: what was predicted,
        and what is.

        Raises: ExperimentError as `agreement`.
        """
        self.agreement(exact)
        return self._beside(self.grid(exact.receivers), exact.grid(self.shape))

    def table(self, most: int | None = 100) -> Rows:
        """One row an edge, those with the greatest scores, up or down, first, `most` of them: its
        estimated `score` and the `spread` of that over the `n` prompts."""
        order = np.argsort(-np.abs(np.where(self._is_edge, self.score, 0.0)), axis=None)
        rows, columns = np.unravel_index(order[: self.n_edges], self.score.shape)
        return [
            {"sender": str(self.senders[i]), "receiver": str(self.receivers[j]),
             "score": float(self.score[i, j]), "spread": float(self.spread[i, j]), "n": self.n,
             "steps": self.steps}
            for i, j in zip(rows[:most].tolist(), columns[:most].tolist(), strict=True)
        ]  # fmt: skip

    @property
    def _is_edge(self) -> np.ndarray:
        return np.isfinite(self.score)

    def of(self, sender: str | Site, receivers: str | Iterable[Receiver] = "logits") -> float:
        """The score from one sender, a head, an MLP or r0, into these receivers together."""
        (site,) = parse_sites(sender if isinstance(sender, str) else [sender])
        if site not in self.senders:
            raise SiteError(f"{site} is no sender of these edges.")
        return float(self.into(receivers)[self.senders.index(site)])


def _first(receiver: Receiver, shared: int) -> Receiver:
    """The same input as of the first head that reads it."""
    if receiver.part not in ("k", "v") or receiver.head is None:
        return receiver
    return Receiver(receiver.part, receiver.layer, receiver.head - receiver.head % shared)
