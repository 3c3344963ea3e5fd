"""What scores by gradients between two runs are of; and the score of every node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.method import Kind
from ..experiment.results import Snapshot
from ..patching.results import PatchResult
from ..scoring.metrics import METRIC_NAMES
from ..showing.beside import beside_figure
from ..showing.site_grid import SiteGrid, site_columns
from ..showing.writing import Rows
from ..sweeps.estimates import Agreement, agreement_of, mean_of
from ..sweeps.results import SweepResult
from ..tasks.pairs import Pair

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Integrated(Snapshot):
    """What scores by gradients between two runs are of, and how far they are.

    `metric`: "logit_diff" in logits or "log_prob" in nats; `clean` and `corrupted` [prompt]: that
    metric in both runs, NaN where not done yet. `steps`: in how many runs gradients were taken.
    `notes`: sentences. `progress`: 0 to 1. `seconds`, and `seconds_left` if it goes on like this.
    """

    experiment: Experiment
    pairs: tuple[Pair, ...]
    steps: int
    metric: str
    clean: Float[np.ndarray, " prompt"]
    corrupted: Float[np.ndarray, " prompt"]
    notes: tuple[str, ...]
    seconds: float
    seconds_left: float | None

    @property
    def _change(self) -> str:
        return f"change of the\n{METRIC_NAMES[self.metric]}"

    def _completeness(self, whole: Float[np.ndarray, " prompt"]) -> float:
        """The means over prompts of all that was predicted, as a share of corrupted − clean; NaN
        where both runs score alike."""
        change = float(mean_of(self.corrupted - self.clean))
        return float(mean_of(whole)) / change if abs(change) > 1e-6 else float("nan")

    def _beside(self, scores: SiteGrid, exact: SiteGrid) -> go.Figure:
        """A point for each head and MLP that is known exactly: what was predicted, and what is."""
        name = self._change.replace("\n", " ")
        return beside_figure(
            scores,
            exact,
            titles=(f"estimated {name}", f"exact {name}"),
            says=("estimated", "exact"),
            line="as estimated",
        )


@dataclass(frozen=True)
class NodeAttribution(Integrated):
    """What each head and MLP is predicted to change when it becomes what it is in the corrupted
    run, by gradients integrated between the two runs: estimates, never exact.

    `heads` [prompt layer head_index], `mlps` [prompt layer] and `embedding` [prompt], all of what
    enters layer 0: the change of the metric, below 0 where the node helps the answer. NaN where not
    done yet and where the model has no such node. Source: Hanna, Pezzelle & Belinkov 2024. What it
    does not show: nodes together, and what is not seen in the slope along the way between the
    inputs.
    """

    heads: Float[np.ndarray, "prompt layer head_index"]
    mlps: Float[np.ndarray, "prompt layer"]
    embedding: Float[np.ndarray, " prompt"]

    @property
    def n(self) -> int:
        """How many prompts are done."""
        return int(np.isfinite(self.clean).sum())

    @property
    def completeness(self) -> float:
        """`embedding` as a share of corrupted − clean, means over prompts: 1 where there are steps
        enough, as integrated gradients of the whole input add up to the whole change. NaN where
        both runs score alike."""
        return self._completeness(self.embedding)

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
        name = f"estimated {self._change}"
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

    def beside_figure(self, exact: SweepResult) -> go.Figure:
        """A point for each head and MLP that such a sweep knows: what was predicted, and what is.

        Raises: ExperimentError as `agreement`.
        """
        self.agreement(exact)
        return self._beside(self.grid(), exact.grid(self.metric, "change"))

    def table(self) -> Rows:
        """One row a head or MLP, layer by layer: its estimated `score` and the `spread` of that
        over the `n` prompts."""
        score, spread = self.grid(), self.grid("spread")
        return [
            {**site_columns(s), "score": score[s], "spread": spread[s], "n": self.n,
             "steps": self.steps}
            for s in score.sites
        ]  # fmt: skip


def _joined(heads: np.ndarray, mlps: np.ndarray) -> np.ndarray:
    return np.concatenate([heads.ravel(), mlps.ravel()])


def _spread(values: np.ndarray) -> np.ndarray:
    return np.sqrt(mean_of((values - mean_of(values)) ** 2))


def _check_same(own: NodeAttribution, e: Experiment, pairs: tuple[Pair, ...]) -> None:
    known = (own.experiment.model, own.experiment.positions, own.pairs)
    if (e.model, e.positions, pairs) != known:
        raise ExperimentError(
            "These effects are of another model, other positions or other pairs than the scores."
        )
