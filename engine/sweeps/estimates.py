"""First-order estimates of a sweep, and how well they predicted it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Agreement:
    """How well an estimate predicted the exact changes: Pearson's and Spearman's correlation, −1 to
    1, over the `n` heads and MLPs, or edges, known exactly so far; NaN for fewer than 3 or without
    spread."""

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

    def agreement(
        self,
        heads: Float[np.ndarray, "prompt *pos layer head_index"],
        mlps: Float[np.ndarray, "prompt *pos layer"],
    ) -> Agreement:
        """How well it predicted the exact changes, over what of these is known."""
        exact, own = (heads, mlps), (self.heads, self.mlps)
        known = [np.where(np.isfinite(e), o, np.nan) for e, o in zip(exact, own, strict=True)]
        a, b = (np.concatenate([mean_of(part).ravel() for part in of]) for of in (known, exact))
        return agreement_of(a, b)


def agreement_of(estimate: np.ndarray, exact: np.ndarray) -> Agreement:
    """How well numbers of any shape predicted others, over those known of both."""
    both = np.isfinite(estimate) & np.isfinite(exact)
    a, b = estimate[both], exact[both]
    return Agreement(_correlation(a, b), _correlation(_places(a), _places(b)), len(a))


def mean_of(values: np.ndarray) -> np.ndarray:
    """The mean over the first axis, of what is there; NaN where nothing is."""
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
