"""What scores by length are: arrays over prompts and lengths, their means, and the pairs asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..showing.writing import Rows
from ..tasks.pairs import Pair
from .figures import lengths_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

LENGTH_METRICS = ("prob", "log_prob", "rank", "logit_diff")
"""What is scored at each length; METRICS defines each."""


@dataclass(frozen=True)
class LengthRun:
    """One run at every length, [pair length]: entry [i, k] is of pair i with k + 1 terms shown, NaN
    where it has not so many terms or cannot be scored.

    `prob`: of the whole answer there, 0 to 1; `log_prob`: its logarithm, in nats. `rank`: of the
    answer's token where answer and distractor differ, 1 is best. `logit_diff`: logit(answer) −
    logit(distractor) there, positive is right.
    """

    prob: Float[np.ndarray, "pair length"]
    log_prob: Float[np.ndarray, "pair length"]
    rank: Float[np.ndarray, "pair length"]
    logit_diff: Float[np.ndarray, "pair length"]


@dataclass(frozen=True)
class LengthScores:
    """An answer's scores with 1 to n terms of its prompt shown, clean and, where anything is
    changed, ablated (else None).

    `pairs`: those asked that have a sequence. `shown`: of each, what was asked with 1, 2, … terms
    shown, the last being the pair itself. `notes`: what a reader must know, in sentences.
    """

    experiment: Experiment
    pairs: tuple[Pair, ...]
    shown: tuple[tuple[Pair, ...], ...]
    clean: LengthRun
    ablated: LengthRun | None
    notes: tuple[str, ...] = ()

    @property
    def lengths(self) -> range:
        """The numbers of terms shown, from 1 to the most that any pair has."""
        return range(1, max(map(len, self.shown)) + 1)

    @property
    def runs(self) -> dict[str, LengthRun]:
        """The runs there are, by name: "clean", "ablated"."""
        both = {"clean": self.clean, "ablated": self.ablated}
        return {name: run for name, run in both.items() if run is not None}

    def values(self, run: str, metric: str) -> Float[np.ndarray, "pair length"]:
        """One of LENGTH_METRICS of every pair. Raises: ExperimentError for what there is not."""
        if metric not in LENGTH_METRICS or run not in self.runs:
            raise ExperimentError(
                f"There is no “{metric!s:.40}” of the run “{run!s:.40}”: there are "
                f"{', '.join(LENGTH_METRICS)} of {' and '.join(self.runs)}."
            )
        values: np.ndarray = getattr(self.runs[run], metric)
        return values

    def n(self, run: str, metric: str) -> Int[np.ndarray, " length"]:
        """How many prompts have that number, by length."""
        return np.isfinite(self.values(run, metric)).sum(0)

    def mean(self, run: str, metric: str) -> Float[np.ndarray, " length"]:
        """The mean over the prompts that have that number; NaN where none has."""
        return _mean(self.values(run, metric))

    def spread(self, run: str, metric: str) -> Float[np.ndarray, " length"]:
        """The standard deviation over those prompts, as of a population; 0 of one prompt."""
        values = self.values(run, metric)
        return np.sqrt(_mean((values - _mean(values)) ** 2))

    def figure(self, metric: str = "prob") -> go.Figure:
        """One of LENGTH_METRICS over the terms shown: clean solid, ablated dashed; bars are the
        standard deviation over prompts, to each side, where there are several, cut where no
        prompt's number can be: at probabilities of 0 and 1 and a rank of 1. Ranks are on a
        logarithmic axis, 1 on top."""
        one = self.shown[0] if len(self.pairs) == 1 else None
        numbers = {
            run: (self.mean(run, metric), self.spread(run, metric), self.n(run, metric))
            for run in self.runs
        }
        return lengths_figure(list(self.lengths), metric, numbers, one)

    def table(self) -> Rows:
        """A row for each length, metric and run: its mean over prompts, its standard deviation
        over them, and how many they are."""
        return [
            {
                "terms": k,
                "metric": metric,
                "run": run,
                "mean": float(self.mean(run, metric)[k - 1]),
                "std": float(self.spread(run, metric)[k - 1]),
                "n": int(self.n(run, metric)[k - 1]),
            }
            for metric in LENGTH_METRICS
            for k in self.lengths
            for run in self.runs
        ]

    def prompts_table(self) -> Rows:
        """A row for each pair and length: its texts, and each metric of each run."""
        return [
            {
                "pair": i,
                "terms": k + 1,
                "prompt": one.prompt,
                "corrupted": one.corrupted,
                "answer": one.answer,
                "distractor": one.distractor,
                **{
                    f"{run}_{metric}": float(self.values(run, metric)[i, k])
                    for metric in LENGTH_METRICS
                    for run in self.runs
                },
            }
            for i, each in enumerate(self.shown)
            for k, one in enumerate(each)
        ]


def _mean(values: Float[np.ndarray, "pair length"]) -> Float[np.ndarray, " length"]:
    known = np.isfinite(values)
    n = known.sum(0)
    return np.where(n > 0, np.where(known, values, 0.0).sum(0) / np.maximum(n, 1), np.nan)
