"""How a model does on a task: arrays over its pairs, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True)
class PairScores:
    """One run of a task, an entry a pair.

    `logit_diff`: logit(answer) − logit(distractor) at the first token where they differ, positive
    is right; NaN where no single token tells them apart. `prob`: of the whole answer, 0 to 1.
    `rank`: of the answer's token there (its first that is not only a space, without a distractor)
    among the vocabulary, 1 is best. `right`: whether it is first.
    """

    logit_diff: Float[np.ndarray, " pairs"]
    prob: Float[np.ndarray, " pairs"]
    rank: Int[np.ndarray, " pairs"]

    @property
    def right(self) -> Bool[np.ndarray, " pairs"]:
        """Whether the answer ranks first."""
        return self.rank == 1

    @property
    def accuracy(self) -> float:
        """The share of pairs that are right, 0 to 1."""
        return float(self.right.mean())

    @property
    def mean_logit_diff(self) -> float | None:
        """Over the pairs that have one; None where none has."""
        known = self.logit_diff[~np.isnan(self.logit_diff)]
        return float(known.mean()) if known.size else None


@dataclass(frozen=True)
class TaskScore:
    """A task on a model, clean and, where something is ablated, ablated.

    `notes`: what a reader must know, in sentences.
    """

    model: str
    clean: PairScores
    ablated: PairScores | None
    notes: tuple[str, ...] = ()
