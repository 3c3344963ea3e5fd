"""What the same search finds on several tasks: how often each node is kept, and how stable that is.

The mark is of the circuits' mean Jaccard index J over every two runs beside c, that of random
circuits of their sizes: (J − c) / (1 − c), 0 by chance and 1 where all runs keep the same; and of
the nodes that are kept in nine of ten runs. What it does not show: that what is stable is right, or
that a search by another rule would find it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..circuits.circuit import Circuit
from ..circuits.overlaps import Overlaps
from ..errors import EngineError
from ..experiment.sites import MLP, Site, print_sites
from ..showing.palette import COUNTED
from ..showing.site_grid import SiteGrid, cells, site_columns
from ..showing.writing import Rows
from .agreement import SearchAgreement, agreement_of_searches
from .results import Discovery
from .search import STRATEGIES, Search

if TYPE_CHECKING:
    import plotly.graph_objects as go

STABLE_SHARE = 0.9
"""Of the runs, in which a stable node is kept."""
STABLE_FROM, UNSTABLE_BELOW = 0.6, 0.3
"""Of (J − c) / (1 − c): from where runs are stable, and below which they are unstable."""
FEWEST_RUNS = 5
"""Fewer allow no mark."""
MARKS = {
    "stable": f"(J − c) / (1 − c) is at least {STABLE_FROM:g}, and nodes kept in at least "
    f"{STABLE_SHARE:.0%} of the runs are at least half of a circuit",
    "mixed": "neither stable nor unstable",
    "unstable": f"(J − c) / (1 − c) is below {UNSTABLE_BELOW:g}, or no node is kept in "
    f"{STABLE_SHARE:.0%} of the runs",
}
"""What the words say of several runs: J is their circuits' mean Jaccard index, c that of chance."""


@dataclass(frozen=True)
class DiscoveredMany:
    """The same search run on several tasks, as far as it is.

    `runs`: a Discovery each, with its own task; `refused`: the seed and the reason of each that
    gave none. `asked`: how many runs there are to be. `resampled`: whether the tasks are pairs of
    one's own drawn with replacement, else they are drawn of the family, each with its seed.
    `seconds`, and `seconds_left` if it goes on like this. Where a mean is over runs, its standard
    deviation is as of a sample; NaN for fewer than two.
    """

    search: Search
    asked: int
    resampled: bool
    runs: tuple[Discovery, ...]
    refused: tuple[tuple[int, str], ...]
    seconds: float
    seconds_left: float | None

    @property
    def n(self) -> int:
        """How many runs have a circuit."""
        return len(self.runs)

    @property
    def done(self) -> bool:
        """Whether every run is over."""
        return self.n + len(self.refused) == self.asked

    @property
    def sizes(self) -> Float[np.ndarray, " run"]:
        """How many nodes each run keeps."""
        return np.array([len(run.nodes) for run in self.runs], dtype=float)

    @property
    def faithfulness(self) -> Float[np.ndarray, " run"]:
        """The share of the clean logit difference that each run's circuit has alone, on pairs its
        search did not see where there are some; NaN where that is not known."""
        of = (run.evaluation for run in self.runs)
        return np.array([np.nan if one is None else one.faithfulness for one in of])

    @property
    def share(self) -> dict[Site, float]:
        """In which share of the runs each node is kept, 0 to 1; of every node asked about."""
        if not self.runs:
            return {}
        sites = (s for s in cells(self.runs[0].circuit) if self.search.mlps or type(s) is not MLP)
        kept = [set(run.circuit.sites) for run in self.runs]
        return {site: sum(site in one for one in kept) / self.n for site in sites}

    @property
    def stable(self) -> tuple[Site, ...]:
        """The nodes kept in at least STABLE_SHARE of the runs."""
        return tuple(site for site, share in self.share.items() if share >= STABLE_SHARE - 1e-9)

    @cached_property
    def agreement(self) -> SearchAgreement | None:
        """Every two runs beside each other; None for fewer than two."""
        return agreement_of_searches(self.runs) if self.n > 1 else None

    @property
    def overlaps(self) -> Overlaps | None:
        """What every two runs' circuits share; None for fewer than two."""
        return None if self.agreement is None else self.agreement.overlaps

    @property
    def jaccard(self) -> float:
        """The mean Jaccard index of every two runs' circuits, 0 to 1."""
        return float(np.mean([two.jaccard for two in self.overlaps])) if self.overlaps else np.nan

    @property
    def chance(self) -> float:
        """What random circuits of their sizes have on average."""
        return float(np.mean([two.chance for two in self.overlaps])) if self.overlaps else np.nan

    @property
    def above_chance(self) -> float:
        """(J − c) / (1 − c): 0 by chance, 1 where all runs keep the same; NaN where chance does."""
        room = 1 - self.chance
        return (self.jaccard - self.chance) / room if room > 1e-9 else float("nan")

    @property
    def spearman(self) -> Float[np.ndarray, " two"]:
        """How every two runs rank the nodes, −1 to 1."""
        if self.agreement is None:
            return np.full(0, np.nan)
        return self.agreement.spearman[np.triu_indices(self.n, 1)]

    @property
    def mark(self) -> str:
        """One of MARKS; empty for fewer than FEWEST_RUNS, or where chance has all there is."""
        above = self.above_chance
        if self.n < FEWEST_RUNS or np.isnan(above):
            return ""
        if above < UNSTABLE_BELOW or not self.stable:
            return "unstable"
        half = len(self.stable) >= self.sizes.mean() / 2
        return "stable" if above >= STABLE_FROM and half else "mixed"

    @property
    def verdict(self) -> str:
        """What the runs say together, in a sentence; empty before there are two."""
        if self.n < 2:
            return ""
        told = (
            f"{len(self.stable)} nodes are kept in at least {STABLE_SHARE:.0%} of {self.n} runs, "
            f"of {self.sizes.mean():.1f} ± {deviation(self.sizes):.1f} in each; every two circuits "
            f"have a Jaccard index of {self.jaccard:.2f} on average, random ones {self.chance:.2f}"
        )
        if self.mark:
            return f"{self.mark.capitalize()}: {told}."
        if self.n < FEWEST_RUNS:
            return f"{told}. No mark: that takes at least {FEWEST_RUNS} runs."
        return f"{told}: circuits of these sizes cannot differ, so there is no mark."

    @property
    def consensus(self) -> Circuit:
        """The nodes kept in at least half of the runs, as a circuit. Raises: EngineError before a
        run has ended."""
        if not self.runs:
            raise EngineError("No run has ended yet, so no circuit is kept by half of them.")
        first = self.runs[0].circuit
        seeds = ", ".join(str(run.search.task.seed) for run in self.runs)
        rule = STRATEGIES[self.search.by].partition(":")[0]
        return replace(
            first,
            name=f"{self.search.task.name}, {self.search.by}, half of {self.n} runs",
            sites=tuple(site for site, share in self.share.items() if share >= 0.5),
            note=f"{rule}: kept in at least half of {self.n} runs, "
            f"{'resamples' if self.resampled else 'tasks'} of seeds {seeds}.",
            score=None,
            references=(),
        )

    def grid(self) -> SiteGrid:
        """`share` of every head and MLP. Raises: EngineError before a run has ended."""
        if not self.runs:
            raise EngineError("No run has ended yet, so there is nothing to be shown.")
        name = f"share of {self.n} runs\nthat keep it"
        return SiteGrid.of(self.runs[0].circuit, self.share, name, scale=COUNTED, most=1.0)

    def figure(self) -> go.Figure:
        """Layers down, heads across, the MLPs at the right: in which share of the runs each node is
        kept."""
        hover = {
            site: f"<b>{site}</b> kept in {round(share * self.n)} of {self.n} runs"
            for site, share in self.share.items()
        }
        return self.grid().figure(hover)

    def table(self) -> Rows:
        """One row for each node that any run keeps, the most often first: in how many of `n` runs,
        which share that is, and mean and deviation of its `importance` over the runs."""
        each = [run.importance for run in self.runs]
        rows: Rows = []
        for site, share in sorted(self.share.items(), key=lambda one: -one[1]):
            numbers = np.array([one.get(site, np.nan) for one in each])
            if share:
                rows.append(
                    {
                        **site_columns(site),
                        "kept": round(share * self.n),
                        "n": self.n,
                        "share": share,
                        "importance": float(numbers.mean()),
                        "sd": deviation(numbers),
                    }
                )
        return rows

    def runs_table(self) -> Rows:
        """One row a run: its seed, how many nodes it keeps, what is lost on its own pairs, how
        faithful it is and on which pairs that is, and its circuit."""
        return [
            {
                "run": i,
                "seed": run.search.task.seed,
                "nodes": len(run.nodes),
                "clean": run.clean,
                "loss": run.loss,
                "faithfulness": faithful,
                "judged_on": "pairs it did not see" if run.fresh else "its own pairs",
                "beats_controls": run.beats_controls,
                "n": len(run.search.task.pairs),
                "sites": print_sites(run.circuit.sites),
            }
            for i, (run, faithful) in enumerate(
                zip(self.runs, self.faithfulness.tolist(), strict=True), 1
            )
        ]


def deviation(values: np.ndarray) -> float:
    """The standard deviation as of a sample, of what is known; NaN for fewer than two."""
    known = values[np.isfinite(values)]
    return float(known.std(ddof=1)) if len(known) > 1 else float("nan")
