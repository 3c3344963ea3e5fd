"""How faithful circuits of every size are: the curve, the areas it makes, and chance beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..experiment.results import Snapshot
from ..showing.writing import Rows
from ..tasks.pairs import Pair
from .figures import curves_figure
from .ranked import Ranked

if TYPE_CHECKING:
    import plotly.graph_objects as go

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Of all members: the sizes of MIB's circuits."""


@dataclass(frozen=True)
class FaithfulnessCurve(Snapshot):
    """How much of the answer the circuits of a ranking keep, as far as that is known.

    `circuits` [size pair], `controls` [draw size pair], `clean` and `corrupted` [pair]: the
    `metric`, "logit_diff" in logits, or "log_prob" in nats where some pair has no distractor; NaN
    where not known yet. `sizes`: how many of the `n_members` nodes or edges that are ranked each
    circuit has; `n_edges`: how many edges are left of each once those are pruned that no path of
    kept ones leads through. `controls`: random orders of the same members, drawn with `seed`.
    `notes`: sentences. `progress`: 0 to 1. `seconds`, and `seconds_left` if it goes on like this.

    What it does not show: that a circuit does the task as the model does; f is of means over pairs.
    Source: Mueller et al. 2025 (MIB).
    """

    ranked: Ranked
    by: str
    pairs: tuple[Pair, ...]
    metric: str
    sizes: tuple[int, ...]
    n_members: int
    n_edges: tuple[int, ...]
    clean: Float[np.ndarray, " pair"]
    corrupted: Float[np.ndarray, " pair"]
    circuits: Float[np.ndarray, "size pair"]
    controls: Float[np.ndarray, "draw size pair"]
    seed: int
    notes: tuple[str, ...]
    seconds: float
    seconds_left: float | None

    @property
    def n(self) -> int:
        """How many pairs there are."""
        return len(self.pairs)

    @property
    def n_controls(self) -> int:
        """How many random rankings stand beside it."""
        return len(self.controls)

    @property
    def is_point(self) -> bool:
        """Whether it is of one circuit, at its size alone."""
        return self.ranked.is_circuit

    @property
    def shares(self) -> tuple[float, ...]:
        """The size of each circuit as a share of all members, as it was asked for."""
        return (self.sizes[0] / self.n_members,) if self.is_point else SHARES

    @property
    def faithfulness(self) -> Float[np.ndarray, " size"]:
        """f of each size: 1 is all of what corrupting takes away, 0 none; NaN where not known."""
        return self._shared(self.circuits).mean(1)

    @property
    def spread(self) -> Float[np.ndarray, " size"]:
        """How far that spreads over pairs: the standard deviation, as of a population, of each
        pair's gain over the corrupted run, as a share of the mean whole gain."""
        return self._shared(self.circuits).std(1)

    @property
    def control_faithfulness(self) -> Float[np.ndarray, "draw size"]:
        """f of the random rankings."""
        return self._shared(self.controls).mean(2)

    def _shared(self, values: np.ndarray) -> np.ndarray:
        return (values - self.corrupted) / (self.clean.mean() - self.corrupted.mean())

    def cpr(self, log_scale: bool = False) -> float:
        """The area under f: greater is better, about 1 where all sizes are faithful. NaN of one
        circuit, and where a size is not known yet."""
        return float(cpr(self.shares, self.faithfulness, log_scale))

    def cmd(self, log_scale: bool = False) -> float:
        """The area between f and 1: less is better, 0 where all sizes are faithful. NaN likewise.

        `log_scale`: by the logarithms of the shares, which is no longer between 0 and 1.
        """
        return float(cmd(self.shares, self.faithfulness, log_scale))

    def control_areas(self, of: str = "cpr", log_scale: bool = False) -> np.ndarray:
        """ "cpr" or "cmd" of each random ranking, [draw]."""
        area = {"cpr": cpr, "cmd": cmd}[of]
        return np.array([area(self.shares, f, log_scale) for f in self.control_faithfulness])

    def figure(self) -> go.Figure:
        """Sizes across, a logarithm, f up; the grey band is all random rankings, least to greatest,
        the line in it their mean."""
        return faithfulness_figure([self])

    def table(self) -> Rows:
        """One row a size: its `share` of all members, how many, the `edges` left of them pruned,
        the mean metric, f with its `spread` over `n` pairs, and f of the random rankings: mean,
        least and greatest. Not known: empty."""
        controls = self.control_faithfulness
        rows: Rows = []
        for i, size in enumerate(self.sizes):
            own = controls[:, i][np.isfinite(controls[:, i])]
            rows.append({
                "ranking": self.ranked.name, "by": self.by, "level": self.ranked.level,
                "share": self.shares[i], "size": size, "of": self.n_members,
                "edges": self.n_edges[i], self.metric: _or_empty(self.circuits[i].mean()),
                "faithfulness": _or_empty(self.faithfulness[i]),
                "spread": _or_empty(self.spread[i]), "n": self.n,
                "random": _or_empty(own.mean()) if len(own) else "",
                "random_least": float(own.min()) if len(own) else "",
                "random_greatest": float(own.max()) if len(own) else "",
                "draws": len(own), "seed": self.seed, "clean": float(self.clean.mean()),
                "corrupted": float(self.corrupted.mean()),
            })  # fmt: skip
        return rows


def cpr(shares: Sequence[float], f: Float[np.ndarray, " size"], log_scale: bool = False) -> float:
    """The area under f by trapezoids over shares, or over their logarithms; NaN of one size."""
    return _area(shares, f, log_scale)


def cmd(shares: Sequence[float], f: Float[np.ndarray, " size"], log_scale: bool = False) -> float:
    """The area under |1 − f| by trapezoids over shares, or over their logarithms; NaN of one."""
    return _area(shares, np.abs(1 - f), log_scale)


def _area(shares: Sequence[float], values: np.ndarray, log_scale: bool) -> float:
    if len(values) < 2:
        return float("nan")
    x = np.log(shares) if log_scale else np.array(shares)
    return float(np.trapezoid(values, x))


def faithfulness_figure(curves: Sequence[FaithfulnessCurve]) -> go.Figure:
    """Several rankings of one model on the same pairs in one figure, circuits as points; the grey
    band is of the first ranking's random ones.

    Raises: ExperimentError for rankings whose sizes or scores do not compare.
    """
    return curves_figure(curves)


def _or_empty(value: float) -> float | str:
    return float(value) if np.isfinite(value) else ""
