"""Results of a sweep: every head and every MLP ablated alone, on every prompt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.sites import Site
from ..scoring.metrics import LESS_IS_BETTER, METRIC_NAMES, METRICS, STORED
from ..showing.site_grid import SiteGrid
from ..tasks.pairs import Pair

ASPECTS = {
    "change": "ablated − baseline",
    "mean": "mean over prompts",
    "spread": "standard deviation over prompts",
    "estimate": "estimated change",
}
"""What of a metric can be looked at."""


@dataclass(frozen=True)
class Agreement:
    """How well an estimate predicted the exact changes: Pearson's and Spearman's correlation, −1 to
    1, over the `n` heads and MLPs known exactly so far; NaN for fewer than 3 or without spread."""

    pearson: float
    spearman: float
    n: int


@dataclass(frozen=True)
class Estimate:
    """First-order estimates of the change of `metric`, ablated − baseline, with each site ablated.

    `heads` [prompt *pos layer head_index], `mlps` [prompt *pos layer]; NaN where the model has no
    such site.
    """

    metric: str
    heads: Float[np.ndarray, "prompt *pos layer head_index"]
    mlps: Float[np.ndarray, "prompt *pos layer"]


@dataclass(frozen=True)
class SweepResult:
    """Every head and MLP ablated alone, on top of what is given, as far as it is done.

    `experiment`: the model, method, positions and given ablations, on top of which each site is
    ablated. `pairs`: the prompts. `at`: where the divergence is measured, as in `next_token`.
    `head_numbers` [metric prompt *pos layer head_index] and `mlp_numbers` [metric prompt *pos
    layer], in the order of STORED: with that site ablated (and, with a position axis, at that one
    of `positions` alone); NaN where not done yet, where the metric has no value, or where the model
    has no such site. `sites`: those it has, layer by layer. `clean_numbers`
    and `given_numbers` [metric prompt]: with nothing ablated, and with the given ablations alone,
    which is the baseline. `references`: the prompts whose averages were used (of `resample`, the
    corrupted prompts). `pieces`: the first prompt's tokens. `estimate`: None unless asked for.
    `progress`: 0 to 1. `seconds`, and `seconds_left` if it goes on like this.

    Ablated − baseline is negative where the site helps the answer. What it does not show: sites
    that stand in for each other, of which each alone can be missed.
    """

    experiment: Experiment
    pairs: tuple[Pair, ...]
    at: str
    head_numbers: Float[np.ndarray, "metric prompt *pos layer head_index"]
    mlp_numbers: Float[np.ndarray, "metric prompt *pos layer"]
    clean_numbers: Float[np.ndarray, "metric prompt"]
    given_numbers: Float[np.ndarray, "metric prompt"]
    positions: tuple[int, ...] | None
    pieces: tuple[str, ...]
    references: tuple[str, ...]
    notes: tuple[str, ...]
    estimate: Estimate | None
    progress: float
    seconds: float
    seconds_left: float | None
    sites: tuple[Site, ...]

    @property
    def done(self) -> bool:
        """Whether every site is known on every prompt."""
        return self.progress >= 1.0

    @property
    def metric(self) -> str:
        """The metric shown by itself: the logit difference where there is one."""
        return "logit_diff" if np.isfinite(self.clean_numbers[0]).any() else "log_prob"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that have values here."""
        differs = self.metric == "logit_diff"
        return tuple(m for m in METRICS if differs or m not in ("logit_diff", "kept"))

    @property
    def heads(self) -> Float[np.ndarray, "*pos layer head_index"]:
        """The mean of `metric` with each head ablated."""
        return self.mean("heads")

    @property
    def mlps(self) -> Float[np.ndarray, "*pos layer"]:
        """The mean of `metric` with each MLP ablated."""
        return self.mean("mlps")

    @property
    def n_done(self) -> int:
        """How many heads and MLPs are known on every prompt (at every position)."""
        rank = STORED.index("rank")
        return sum(
            int(np.isfinite(numbers[rank]).all(axis=axes).sum())
            for numbers, axes in self._numbers()
        )

    @property
    def wrong(self) -> tuple[int, ...]:
        """The prompts, by index, whose answer does not rank first in the clean run."""
        return tuple(np.flatnonzero(self.values("clean", "rank") != 1).tolist())

    def values(self, of: str, metric: str | None = None) -> np.ndarray:
        """One metric of each prompt: of "heads" [prompt *pos layer head_index], "mlps" [prompt *pos
        layer], or of the runs "clean" and "given" [prompt].

        Raises: ExperimentError for another name.
        """
        metric = metric or self.metric
        result = {
            "heads": self.head_numbers,
            "mlps": self.mlp_numbers,
            "clean": self.clean_numbers,
            "given": self.given_numbers,
        }
        if of not in result or metric not in METRICS:
            raise ExperimentError(
                f"A sweep has {', '.join(METRICS)} of heads, mlps, clean and given, not "
                f"“{metric}” of “{of}”."
            )
        if metric in STORED:
            return result[of][STORED.index(metric)]
        if metric == "accuracy":
            rank = result[of][STORED.index("rank")]
            return np.where(np.isnan(rank), np.nan, (rank == 1).astype(float))
        clean = _mean(self.clean_numbers[0])
        return result[of][0] / (clean if clean else np.nan)

    def mean(self, of: str, metric: str | None = None) -> np.ndarray:
        """The mean of `values` over the prompts that are done; without the prompt axis."""
        return _mean(self.values(of, metric))

    def spread(self, of: str, metric: str | None = None) -> np.ndarray:
        """The standard deviation of `values` over prompts, as of a population."""
        values = self.values(of, metric)
        return np.sqrt(_mean((values - _mean(values)) ** 2))

    def change(self, of: str, metric: str | None = None) -> np.ndarray:
        """The mean over prompts of ablated − baseline, prompt by prompt."""
        given = self.values("given", metric)
        values = self.values(of, metric)
        return _mean(values - given.reshape(-1, *(1,) * (values.ndim - 1)))

    def shown(self, of: str, metric: str | None = None, show: str = "change") -> np.ndarray:
        """What ASPECTS names, of heads or MLPs. Raises: ExperimentError for another name."""
        match show:
            case "change":
                return self.change(of, metric)
            case "mean":
                return self.mean(of, metric)
            case "spread":
                return self.spread(of, metric)
            case "estimate" if self.estimate is not None:
                return _mean(getattr(self.estimate, of))
        raise ExperimentError(f"There is no “{show}” in this sweep.")

    def grid(
        self, metric: str | None = None, show: str = "change", position: int | None = None
    ) -> SiteGrid:
        """What ASPECTS names, of each head and MLP; of a sweep position by position without a
        `position`, at the one where each site changes most.

        Raises: ExperimentError for what the sweep does not have.
        """
        metric = checked_metric(self, metric, show)
        signed = show in ("change", "estimate")
        heads, mlps = (self._map(of, metric, show, position) for of in ("heads", "mlps"))
        name = f"{METRIC_NAMES[metric]}\n{ASPECTS[show]}"
        return SiteGrid(heads, mlps, name, signed, signed and metric in LESS_IS_BETTER)

    def _map(self, of: str, metric: str, show: str, position: int | None) -> np.ndarray:
        values = self.shown(of, metric, show)
        if self.positions is None:
            return values
        if position is not None:
            if position not in self.positions:
                raise ExperimentError(
                    f"Position {position} was not swept; there are "
                    f"{', '.join(map(str, self.positions))}."
                )
            return values[self.positions.index(position)]
        changes = self.shown(of, metric, "estimate" if show == "estimate" else "change")
        where = np.nan_to_num(np.abs(changes), nan=-1.0).argmax(axis=0)
        return np.take_along_axis(values, where[None], axis=0)[0]

    @property
    def agreement(self) -> Agreement | None:
        """How well the estimate predicted what is known by now; None without an estimate."""
        if self.estimate is None:
            return None
        guessed, exact = [], []
        for of in ("heads", "mlps"):
            values = self.values(of, self.estimate.metric)
            given = self.values("given", self.estimate.metric)
            changes = values - given.reshape(-1, *(1,) * (values.ndim - 1))
            known: Bool[np.ndarray, "..."] = np.isfinite(changes)
            guesses = np.where(known, getattr(self.estimate, of), np.nan)
            exact.append(_mean(changes).ravel())
            guessed.append(_mean(guesses).ravel())
        a, b = np.concatenate(guessed), np.concatenate(exact)
        both = np.isfinite(a) & np.isfinite(b)
        a, b = a[both], b[both]
        return Agreement(_correlation(a, b), _correlation(_places(a), _places(b)), len(a))

    def _numbers(self) -> tuple[tuple[np.ndarray, tuple[int, ...]], ...]:
        places = () if self.positions is None else (1,)
        return (self.head_numbers, (0, *places)), (self.mlp_numbers, (0, *places))


def checked_metric(sweep: SweepResult, metric: str | None, show: str) -> str:
    """The metric that is shown: the one named, the estimate's, or the sweep's own.

    Raises: ExperimentError for what the sweep does not have.
    """
    if show not in ASPECTS:
        raise ExperimentError(f"A sweep shows {', '.join(ASPECTS)}, not “{show}”.")
    if show == "estimate" and sweep.estimate is not None:
        return sweep.estimate.metric
    metric = metric or sweep.metric
    if metric not in METRICS:
        raise ExperimentError(f"A sweep has {', '.join(METRICS)}, not “{metric}”.")
    return metric


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the first axis, of what is there; NaN where nothing is."""
    known = np.isfinite(values)
    n = known.sum(0)
    return np.where(n > 0, np.where(known, values, 0.0).sum(0) / np.maximum(n, 1), np.nan)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    if len(a) < 3 or not a.std() or not b.std():
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def _places(values: np.ndarray) -> np.ndarray:
    """The rank of each value, equal ones sharing the mean of theirs."""
    _, back, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    return ((ends - counts + ends + 1) / 2)[back]
