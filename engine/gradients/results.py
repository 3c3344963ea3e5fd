"""Results of gradients between two runs: a score for every node, and for every edge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..errors import ExperimentError, SiteError
from ..experiment.experiment import Experiment
from ..experiment.method import Kind
from ..experiment.sites import Shape, Site, Stream, parse_sites
from ..patching.results import PatchResult
from ..paths.receivers import Receiver, parse_receivers
from ..paths.results import PathMatrix, PathPatch
from ..scoring.metrics import METRIC_NAMES
from ..showing.site_grid import SiteGrid, site_columns
from ..showing.writing import Rows
from ..sweeps.estimates import Agreement, agreement_of, mean_of
from ..sweeps.results import SweepResult
from ..tasks.pairs import Pair

if TYPE_CHECKING:
    import plotly.graph_objects as go

EMBEDDING = Stream(0)
"""The sender that no layer is: what enters layer 0, tokens and positions."""


@dataclass(frozen=True)
class NodeAttribution:
    """What each head and MLP is predicted to change when it becomes what it is in the corrupted
    run, by gradients integrated between the two runs: estimates, never exact.

    `heads` [prompt layer head_index], `mlps` [prompt layer] and `embedding` [prompt], all of what
    enters layer 0: the change of `metric`, "logit_diff" in logits or "log_prob" in nats, below 0
    where the node helps the answer. NaN where not done yet and where the model has no such node.
    `clean` and `corrupted` [prompt]: that metric in both runs. `steps`: in how many runs gradients
    were taken. `progress`: 0 to 1. `seconds`, and `seconds_left` if it goes on like this. Source:
    Hanna, Pezzelle & Belinkov 2024. What it does not show: nodes together, and what is not seen in
    the slope along the way between the inputs.
    """

    experiment: Experiment
    pairs: tuple[Pair, ...]
    steps: int
    metric: str
    heads: Float[np.ndarray, "prompt layer head_index"]
    mlps: Float[np.ndarray, "prompt layer"]
    embedding: Float[np.ndarray, " prompt"]
    clean: Float[np.ndarray, " prompt"]
    corrupted: Float[np.ndarray, " prompt"]
    notes: tuple[str, ...]
    progress: float
    seconds: float
    seconds_left: float | None

    @property
    def done(self) -> bool:
        """Whether every prompt is."""
        return self.progress >= 1.0

    @property
    def n(self) -> int:
        """How many prompts are done."""
        return int(np.isfinite(self.clean).sum())

    @property
    def completeness(self) -> float:
        """`embedding` as a share of corrupted − clean, means over prompts: 1 where there are steps
        enough, as integrated gradients of the whole input add up to the whole change. NaN where
        both runs score alike."""
        return _completeness(self.embedding, self.corrupted - self.clean)

    def agreement(self, exact: SweepResult | PatchResult) -> Agreement:
        """How well the scores predicted exact effects: a sweep's by `resample`, or those of `z`
        patched by noise, means over prompts.

        Raises: ExperimentError for effects of something else.
        """
        _check_same(self, exact.experiment, exact.pairs)
        heads, mlps = mean_of(self.heads), mean_of(self.mlps)
        if isinstance(exact, SweepResult):
            if exact.experiment.method.kind is not Kind.RESAMPLE or exact.positions is not None:
                raise ExperimentError(
                    "Nodes become what they are in the corrupted run: compare them with a sweep by "
                    "resample, not position by position."
                )
            if exact.experiment.every_change:
                raise ExperimentError("The sweep is on top of changes, and the scores are not.")
            effects = (exact.change(of, self.metric).ravel() for of in ("heads", "mlps"))
            return agreement_of(_joined(heads, mlps), np.concatenate([*effects]))
        if (exact.place, exact.direction, exact.positions) != ("z", "noise", None):
            raise ExperimentError(
                "Of patchings, compare with that of z by noise, not position by position; a sweep "
                "by resample has the MLPs as well."
            )
        if exact.metric != self.metric:
            raise ExperimentError(f"The patching is of {exact.metric}, not of {self.metric}.")
        return agreement_of(heads, exact.shown("change")[0])

    def grid(self, aspect: str = "score") -> SiteGrid:
        """The "score" of each head and MLP, mean over prompts, or its "spread", the standard
        deviation over prompts, as of a population; all of it estimated. Blue: towards the answer.

        Raises: ExperimentError for another name.
        """
        shown = {"score": mean_of, "spread": _spread}
        if aspect not in shown:
            raise ExperimentError(f"Nodes have a score and its spread, not “{aspect!s:.40}”.")
        heads, mlps = (shown[aspect](values) for values in (self.heads, self.mlps))
        name = f"estimated change of the\n{METRIC_NAMES[self.metric]}"
        name += "" if aspect == "score" else "\nspread over prompts"
        grid = SiteGrid(heads, mlps, name, signed=aspect == "score")
        return SiteGrid(heads, mlps, name, grid.signed, inexact=frozenset(grid.sites))

    def figure(self, aspect: str = "score") -> go.Figure:
        """Layers down, heads across, the MLP of each layer at the right; all hatched, as these are
        estimates."""
        score, spread = self.grid(), self.grid("spread")
        hover = {
            site: f"<b>{site}</b> estimated change {score[site]:+.3f} ± {spread[site]:.3f} over "
            f"{self.n} prompts"
            for site in score.sites
        }
        return self.grid(aspect).figure(hover)

    def table(self) -> Rows:
        """One row a head or MLP, layer by layer: its estimated `score` and the `spread` of that
        over the `n` prompts."""
        score, spread = self.grid(), self.grid("spread")
        return [
            {**site_columns(s), "score": score[s], "spread": spread[s], "n": self.n,
             "steps": self.steps}
            for s in score.sites
        ]  # fmt: skip


@dataclass(frozen=True)
class EdgeAttribution:
    """What each edge is predicted to change when its sender becomes what it is in the corrupted run
    for its receiver alone, by gradients integrated between the two runs: estimates, never exact.

    `score` and `spread` [sender receiver]: mean and standard deviation, as of a population, over
    the `n` prompts done, of the change of `metric`, "logit_diff" in logits or "log_prob" in nats,
    below 0 where the edge helps the answer; NaN where the sender does not come before the receiver.
    `senders`: r0, all of what enters layer 0, then every head and MLP. `receivers`: the query input
    of each head, the key and value input of each key-value head, written as of the first head that
    reads them, each MLP's input, and the logits. `clean` and `corrupted` [prompt]: the metric in
    both runs. `shape`: the model's. The rest is as of NodeAttribution. Source: Syed, Rager & Conmy
    2023; Hanna, Pezzelle & Belinkov 2024. What it does not show: edges together, and what is not
    seen in the slope along the way between the inputs.
    """

    experiment: Experiment
    pairs: tuple[Pair, ...]
    steps: int
    metric: str
    shape: Shape
    senders: tuple[Site, ...]
    receivers: tuple[Receiver, ...]
    score: Float[np.ndarray, "sender receiver"]
    spread: Float[np.ndarray, "sender receiver"]
    n: int
    clean: Float[np.ndarray, " prompt"]
    corrupted: Float[np.ndarray, " prompt"]
    notes: tuple[str, ...]
    progress: float
    seconds: float
    seconds_left: float | None

    @property
    def done(self) -> bool:
        """Whether every prompt is."""
        return self.progress >= 1.0

    @property
    def n_edges(self) -> int:
        """How many edges there are."""
        return int(self._is_edge.sum())

    @property
    def completeness(self) -> float:
        """The edges from what enters layer 0 together, as a share of corrupted − clean, means over
        prompts: 1 where there are steps enough. NaN where both runs score alike."""
        every = np.nansum(self.score[0]) if self.n else np.nan
        return _completeness(np.full(1, every), self.corrupted - self.clean)

    def into(self, receivers: str | Iterable[Receiver] = "logits") -> Float[np.ndarray, " sender"]:
        """The scores of the edges from each sender to these receivers, as in `"3.1.q m4 logits"`,
        added up, as slopes add; NaN where it reaches none.

        Raises: SiteError for a receiver that there is none of.
        """
        some = parse_receivers(receivers, self.shape)
        at = {receiver: j for j, receiver in enumerate(self.receivers)}
        shared = self.shape.n_heads // self.shape.n_key_value_heads
        own = dict.fromkeys(_first(receiver, shared) for receiver in some)
        lacking = next((r for r in own if r not in at), None)
        if lacking is not None:
            raise SiteError(f"{lacking} is no receiver of these edges.")
        scores = self.score[:, [at[r] for r in own]]
        none = np.isnan(scores).all(1)
        return np.where(none, np.nan, np.nansum(scores, axis=1))

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
        name = f"estimated change of the\n{METRIC_NAMES[self.metric]}"
        return SiteGrid.of(self.shape, values, name, signed=True, inexact=frozenset(values))

    def figure(self, receivers: str | Iterable[Receiver] = "logits") -> go.Figure:
        """What each head and MLP is predicted to do to the receivers directly; blank where no edge
        leads. All hatched, as these are estimates."""
        return self.grid(receivers).figure()

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


def _joined(heads: np.ndarray, mlps: np.ndarray) -> np.ndarray:
    return np.concatenate([heads.ravel(), mlps.ravel()])


def _spread(values: np.ndarray) -> np.ndarray:
    return np.sqrt(mean_of((values - mean_of(values)) ** 2))


def _completeness(whole: np.ndarray, changes: np.ndarray) -> float:
    change = float(mean_of(changes))
    return float(mean_of(whole)) / change if abs(change) > 1e-6 else float("nan")


def _check_same(own: NodeAttribution, e: Experiment, pairs: tuple[Pair, ...]) -> None:
    known = (own.experiment.model, own.experiment.positions, own.pairs)
    if (e.model, e.positions, pairs) != known:
        raise ExperimentError(
            "These effects are of another model, other positions or other pairs than the scores."
        )
