"""Results of a sweep: every head and every MLP ablated alone, on every prompt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.results import Snapshot
from ..experiment.sites import Site
from ..scoring.metrics import METRICS, STORED
from ..showing.heatmap import colours
from ..showing.site_grid import SiteGrid
from ..showing.site_positions import at, plain, positions_figure, positions_table
from ..showing.writing import Rows
from ..tasks.pairs import Pair
from .estimates import Agreement, Estimate, mean_of
from .figures import ASPECTS, sense, site_texts

if TYPE_CHECKING:
    import plotly.graph_objects as go

_PARTS = ("heads", "mlps")


@dataclass(frozen=True)
class SweepResult(Snapshot):
    """Every head and MLP ablated alone, on top of what is given, as far as it is done.

    `experiment`: the model, method, positions and given ablations, on top of which each site is
    ablated. `pairs`: the prompts. `at`: where the divergence is measured, as in `next_token`.
    `head_numbers` [metric prompt *pos layer head_index] and `mlp_numbers` [metric prompt *pos
    layer], in the order of STORED: with that site ablated (and, with a position axis, at that one
    of `positions` alone); NaN where not done yet, where the metric has no value, or where the model
    has no such site. `sites`: those it has, layer by layer. `clean_numbers`
    and `given_numbers` [metric prompt]: with nothing ablated, and with the given ablations alone,
    which is the baseline. `references`: the prompts whose averages were used (of `resample`, the
    corrupted prompts). `pieces`: the tokens, `read` as people read them, empty where prompts
    differ. `estimate`: None unless asked for. `progress`: 0 to 1. `seconds`, and `seconds_left` if
    it goes on like this. Ablated − baseline is negative where the site helps the answer. What it
    does not show: sites that stand in for each other, of which each alone can be missed.
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
    read: tuple[str, ...]
    references: tuple[str, ...]
    notes: tuple[str, ...]
    estimate: Estimate | None
    seconds: float
    seconds_left: float | None
    sites: tuple[Site, ...]

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
        """How many heads and MLPs are known exactly."""
        return sum(int(one.sum()) for one in self.exact)

    @property
    def exact(self) -> tuple[Bool[np.ndarray, "layer head_index"], Bool[np.ndarray, " layer"]]:
        """Which heads and MLPs are known on every prompt (at every position)."""
        axes = (0,) if self.positions is None else (0, 1)
        heads, mlps = (np.isfinite(self.values(of, "rank")).all(axes) for of in _PARTS)
        return heads, mlps

    @property
    def wrong(self) -> tuple[int, ...]:
        """The prompts, by index, whose answer does not rank first in the clean run."""
        return tuple(np.flatnonzero(self.values("clean", "rank") != 1).tolist())

    def values(self, of: str, metric: str | None = None) -> np.ndarray:
        """One metric of each prompt: of "heads" [prompt *pos layer head_index], "mlps" [prompt *pos
        layer], or of the runs "clean" and "given" [prompt]. Raises: ExperimentError for another.
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
        clean = mean_of(self.clean_numbers[0])
        return result[of][0] / (clean if clean else np.nan)

    def mean(self, of: str, metric: str | None = None) -> np.ndarray:
        """The mean of `values` over the prompts that are done; without the prompt axis."""
        return mean_of(self.values(of, metric))

    def spread(self, of: str, metric: str | None = None) -> np.ndarray:
        """The standard deviation of `values` over prompts, as of a population."""
        values = self.values(of, metric)
        return np.sqrt(mean_of((values - mean_of(values)) ** 2))

    def change(self, of: str, metric: str | None = None) -> np.ndarray:
        """The mean over prompts of ablated − baseline, prompt by prompt."""
        return mean_of(self._changes(of, metric))

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
                return mean_of(getattr(self.estimate, of))
        raise ExperimentError(f"There is no “{show}” in this sweep.")

    def _changes(self, of: str, metric: str | None) -> np.ndarray:
        values, given = self.values(of, metric), self.values("given", metric)
        return values - given.reshape(-1, *(1,) * (values.ndim - 1))

    def grid(
        self, metric: str | None = None, show: str = "change", position: int | None = None
    ) -> SiteGrid:
        """What ASPECTS names, of each head and MLP; of a sweep position by position without a
        `position`, at the one where each site changes most. Inexact: what not all prompts know.

        Raises: ExperimentError for what the sweep does not have.
        """
        metric = self._checked(metric, show)
        heads, mlps = (self._map(of, metric, show, position) for of in _PARTS)
        grid, exact = SiteGrid(heads, mlps, *sense(metric, show)), self.exact
        guesses = {s for s in grid.sites if show == "estimate" or not at(exact, s)}
        return replace(grid, inexact=frozenset(guesses))

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
        return self.estimate.agreement(*(self._changes(of, self.estimate.metric) for of in _PARTS))

    def _both(self, metric: str, show: str) -> tuple[np.ndarray, np.ndarray]:
        return self.shown("heads", metric, show), self.shown("mlps", metric, show)

    def _checked(self, metric: str | None, show: str) -> str:
        """The metric that is shown: the one named, the estimate's, or the sweep's own."""
        if show not in ASPECTS:
            raise ExperimentError(f"A sweep shows {', '.join(ASPECTS)}, not “{show}”.")
        if show == "estimate" and self.estimate is not None:
            return self.estimate.metric
        metric = metric or self.metric
        if metric not in METRICS:
            raise ExperimentError(f"A sweep has {', '.join(METRICS)}, not “{metric}”.")
        return metric

    def figure(
        self, metric: str | None = None, show: str = "change", position: int | None = None
    ) -> go.Figure:
        """Layers down, heads across, the MLP of each layer at the right; what is not known is
        blank.

        `metric`: one of METRICS, by itself the sweep's own. `show`: "change" (ablated − baseline;
        blue is up), "mean", "spread" over prompts, or "estimate". `position`: of a sweep position
        by position, the one shown (by its index in the prompt); None shows, for each site, the
        position where it changes most.
        Raises: ExperimentError for what the sweep does not have.
        """
        metric = self._checked(metric, show)
        estimated = self.estimate is not None and self.estimate.metric == metric
        shows = [one for one in ASPECTS if estimated or one != "estimate"]
        grids = {one: self.grid(metric, one, position) for one in shows}
        runs = {"baseline": float(self.mean("given", metric))}
        if self.experiment.every_change:
            runs["clean"] = float(self.mean("clean", metric))
        return grids[show].figure(site_texts(self.sites, metric, grids, runs, len(self.pairs)))

    def positions_figure(
        self, metric: str | None = None, show: str = "change", most: int = 20
    ) -> go.Figure:
        """The sites that change most down, `most` of them, the prompt's positions across.

        Raises: ExperimentError for a sweep without a position axis.
        """
        if self.positions is None:
            raise ExperimentError("This sweep was not made position by position.")
        metric = self._checked(metric, show)
        both, (name, signed, less, _) = self._both(metric, show), sense(metric, show)
        rows = {site: at(both, site) for site in self.sites}
        labels = [f"{p} {escape(token)}".rstrip() for p, token in self._at_positions(self.read)]
        tint = colours(np.array([*rows.values()]), signed, less)
        return positions_figure(rows, labels, name, most, **tint)

    def _at_positions(self, tokens: tuple[str, ...]) -> list[tuple[int, str]]:
        """The positions swept, with the token at each; empty where prompts differ."""
        return [(p, tokens[p] if p < len(tokens) else "") for p in self.positions or ()]

    def table(self, by: str | None = None, most: int | None = None) -> Rows:
        """One row a site (and position, where the sweep has them), layers in order, heads before
        MLPs; or, `by` a metric, those it changes most first, `most` of them.

        Of each metric: its mean over prompts with the site ablated, `*_std` its standard deviation
        over prompts, `*_change` the mean of ablated − baseline; empty where it is not known.
        `exact`: 1 where it is known on every prompt, else 0. `n`: prompts. Beside them the runs'
        means, clean and baseline, and the estimate where there is one.
        """
        columns = {
            f"{metric}{ending}": self._both(metric, show)
            for metric in self.metrics
            for show, ending in (("mean", ""), ("spread", "_std"), ("change", "_change"))
        }
        if (estimate := self.estimate) is not None:
            name = f"{estimate.metric}_estimated_change"
            columns[name] = self._both(estimate.metric, "estimate")
        places = [{"position": p, "piece": piece} for p, piece in self._at_positions(self.pieces)]
        ranks = (self.values(of, "rank") for of in _PARTS)
        columns["exact"] = tuple(np.isfinite(of).all(0).astype(float) for of in ranks)
        order = None if by is None else self._both(by, "change")
        rows = positions_table(self.sites, columns, places or [{}], order, most)
        same = {**self._runs(), "n": len(self.pairs)}
        return [{**row, **same} for row in rows]

    def prompts_table(self) -> Rows:
        """One row a prompt: its texts, and each metric of the clean run and of the baseline."""
        return [
            {
                "prompt": i,
                "text": pair.prompt,
                "corrupted": pair.corrupted,
                "answer": pair.answer,
                "distractor": pair.distractor,
                "wrong_clean": i in self.wrong,
                **self._runs(i),
            }
            for i, pair in enumerate(self.pairs)
        ]

    def _runs(self, prompt: int | None = None) -> dict[str, object]:
        """Each metric of the clean run and of the baseline, of one prompt or their means."""
        runs = {"clean": "clean", "baseline": "given"}
        values = self.mean if prompt is None else lambda *which: self.values(*which)[prompt]
        return {f"{m}_{n}": plain(values(of, m)) for m in self.metrics for n, of in runs.items()}
