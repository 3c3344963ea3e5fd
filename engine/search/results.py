"""What a search for a circuit has found so far, and what its controls say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from ..circuits.circuit import Circuit
from ..circuits.controls import ENOUGH
from ..circuits.results import Evaluation
from ..errors import ExperimentError
from ..experiment.sites import Head, Site
from ..showing.palette import KEPT, PALETTE
from ..showing.site_grid import SiteGrid, cells, site_columns
from ..showing.site_positions import at, positions_figure
from ..showing.writing import Rows
from .figures import left_figure, nodes_texts, ranked_texts, trials_figure
from .search import Node, Search, Trial

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Discovery:
    """What a search knows so far.

    `circuit`: what is kept by now (of a search by position: every site kept anywhere); `nodes`: the
    nodes kept. `clean` and `kept`: the metric of the whole model and of the nodes kept. `heads`
    [*pos layer head_index] and `mlps` [*pos layer]: the metric without that node when it was last
    tried, NaN where it was not or there is no such node; `heads_kept`, `mlps_kept`: whether it is
    still there. `positions`:
    of the position axis. `trials`: in order. `ranked`: of a search by integrated gradients every
    node and the number by which it is ranked, from 0, the least first; its trials are of nodes
    together, so `heads` and `mlps` are NaN. `walk`: which walk over the nodes this is, from 1,
    `direction` its direction. `progress`: 0 to 1, of this walk; `seconds`, and `seconds_left` of
    this walk if it goes on like this. `evaluation`: the circuit put to the test beside random
    controls, on fresh pairs where there are some (`fresh`); None until the end, or where
    `unevaluated` says why not. `references`: the prompts that averages are over.

    What it does not show: that another circuit would not do as well. Which of several nodes that
    stand in for each other is kept depends on the order in which they were tried.
    """

    search: Search
    circuit: Circuit
    nodes: tuple[Node, ...]
    clean: float
    kept: float
    heads: Float[np.ndarray, "*pos layer head_index"]
    mlps: Float[np.ndarray, "*pos layer"]
    heads_kept: Bool[np.ndarray, "*pos layer head_index"]
    mlps_kept: Bool[np.ndarray, "*pos layer"]
    positions: tuple[int, ...] | None
    trials: tuple[Trial, ...]
    walk: int
    direction: str
    progress: float
    seconds: float
    seconds_left: float | None
    done: bool
    references: tuple[str, ...]
    notes: tuple[str, ...]
    ranked: tuple[tuple[Node, float], ...] = ()
    evaluation: Evaluation | None = None
    fresh: bool = False
    unevaluated: str = ""

    @property
    def loss(self) -> float:
        """Of what is kept, as the threshold counts it."""
        return self.search.loss(self.kept, self.clean)

    def losses(self, of: str) -> np.ndarray:
        """What each of "heads" or "mlps" cost when it was last tried, as the threshold counts it;
        NaN where it was not."""
        scores = {"heads": self.heads, "mlps": self.mlps}[of]
        return scores if self.search.metric == "kl" else 1 - scores / self.clean

    def site_losses(self, of: str) -> np.ndarray:
        """What each head [layer head_index] or MLP [layer] that stays cost when it was last tried,
        at the position where it costs most; 0 for what has gone, NaN for what was not tried or is
        not there."""
        kept = {"heads": self.heads_kept, "mlps": self.mlps_kept}[of]
        losses = np.where(kept, self.losses(of), 0.0)
        if of == "heads":
            losses[..., list(self.circuit.without_heads), :] = np.nan
        else:
            losses[..., list(self.circuit.without_mlp)] = np.nan
        if self.positions is None:
            return losses
        tried = np.where(np.isnan(losses), -np.inf, losses).max(axis=0)
        return np.where(np.isinf(tried), np.nan, tried)

    @property
    def importance(self) -> dict[Site, float]:
        """How much each head and MLP asked about matters to this search, by which searches are
        compared: the number by which it is ranked, kept or not; else `site_losses`. What was not
        tried is left out."""
        if self.ranked:
            return {node.site: number for node, number in self.ranked}
        grid = SiteGrid(self.site_losses("heads"), self.site_losses("mlps"), "")
        return {s: grid[s] for s in grid.sites if self.search.mlps or isinstance(s, Head)}

    def grid(self) -> SiteGrid:
        """`site_losses` of every head and MLP, or the numbers by which they are ranked: grey what
        has gone, blue what was tried and stays. The colours end at the greatest number; of costs,
        at least at the threshold."""
        if self.ranked:
            kept = {n.site: value if n in self.nodes else 0.0 for n, value in self.ranked}
            look = {"scale": KEPT, "zero": PALETTE["gone"]}
            return SiteGrid.of(self.circuit, kept, "score by gradients,\nup or down", **look)
        both = self.site_losses("heads"), self.site_losses("mlps")
        most = max([self.search.threshold, *(float(np.nanmax(one, initial=0.0)) for one in both)])
        return SiteGrid(
            *both, f"{self.unit}\nwithout it", scale=KEPT, most=most, zero=PALETTE["gone"]
        )

    @property
    def unit(self) -> str:
        """What a loss is counted in: the threshold's unit."""
        return "divergence, nats" if self.search.metric == "kl" else "share of the score lost"

    def figure(self) -> go.Figure:
        """Layers down, heads across, the MLPs at the right: grey what has gone, blue by its cost
        what was tried and stays, blank what was not tried yet. Where nodes are ranked by gradients,
        blue by its score what stays.

        Of a search position by position: the position at which each site costs most.
        """
        if self.ranked:
            return self.grid().figure(ranked_texts(self.ranked, set(self.nodes)))
        costs, kept = self.grid(), (self.heads_kept, self.mlps_kept)
        nodes = {
            site: costs[site]
            for site in cells(self.circuit)
            if self.search.mlps or isinstance(site, Head)
        }
        gone = [s for s, cost in nodes.items() if not (at(kept, s).any() or np.isnan(cost))]
        most = "" if self.positions is None else ", where that costs most"
        return costs.figure(nodes_texts(nodes, gone, self.unit, f"without it{most}"))

    def positions_figure(self, most: int = 40) -> go.Figure:
        """The sites that are kept anywhere down, those that cost most first and `most` of them,
        positions across.

        Raises: ExperimentError for a search without a position axis.
        """
        if self.positions is None:
            raise ExperimentError("This search was not made position by position.")
        losses = self.losses("heads"), self.losses("mlps")
        kept = self.heads_kept, self.mlps_kept
        rows = {s: np.where(at(kept, s), at(losses, s), np.nan) for s in self.circuit.sites}
        labels = list(map(str, self.positions))
        return positions_figure(rows, labels, self.unit, most, colorscale=KEPT, zmin=0)

    def trials_figure(self) -> go.Figure:
        """What each trial cost, in order: grey where it stays, and the line of what is left. Where
        nodes are ranked by gradients: what is lost with each number of the first that was tried."""
        losses = [self.search.loss(trial.score, self.clean) for trial in self.trials]
        if self.ranked:
            total, kept = len(self.ranked), len(self.nodes)
            return left_figure(self.trials, losses, self.search.threshold, self.unit, total, kept)
        return trials_figure(self.trials, losses, self.search.threshold, self.unit)

    def table(self) -> Rows:
        """One row a trial, in order: the node, the score of what was left without it (of the
        search's metric, mean over `n` pairs), what that cost as the threshold counts it, and
        whether it went. Where nodes are ranked by gradients, all below it go with it, and `left`
        says how many nodes are left."""
        search = self.search
        rows: Rows = []
        for i, trial in enumerate(self.trials, 1):
            site = trial.node.site
            rows.append(
                {
                    "trial": i,
                    **site_columns(site),
                    "position": "" if trial.node.position is None else trial.node.position,
                    search.metric: trial.score,
                    "loss": search.loss(trial.score, self.clean),
                    "removed": trial.removed,
                    **({} if trial.left is None else {"left": trial.left}),
                    "clean": self.clean,
                    "threshold": search.threshold,
                    "method": str(search.method),
                    "n": len(search.task.pairs),
                }
            )
        return rows

    @property
    def does_task(self) -> bool | None:
        """Whether the whole model does the task on fresh pairs: its mean logit difference lies
        three standard errors above 0, and above what it is with every node ablated. None where that
        is not known."""
        if self.unevaluated and self.fresh:
            return False
        result = self.evaluation
        if result is None or not self.fresh:
            return None
        whole = result.clean.logit_diff
        return _clearly(whole) and _clearly(whole - result.empty.logit_diff)

    @property
    def beats_controls(self) -> bool | None:
        """Whether, on fresh pairs, the model does the task and the circuit alone keeps more of it
        than 95% of random circuits of its size, and than no circuit; None where that is not known,
        as of fewer than `controls.ENOUGH` of them.
        """
        result = self.evaluation
        if self.does_task is None or not self.does_task or result is None:
            return self.does_task
        if not self.circuit.sites:
            return False
        if result.kept_beats is None or self._few_controls:
            return None
        gained = result.kept.logit_diff - result.empty.logit_diff
        return _clearly(gained) and result.kept_beats >= 0.95

    @property
    def _few_controls(self) -> str:
        """Why the controls allow no verdict; empty where they do."""
        controls = None if self.evaluation is None else self.evaluation.controls
        if controls is None or (n := len(controls.sites)) >= ENOUGH:
            return ""
        return (
            f"{n} control{'s' if n > 1 else ''} could be drawn: no verdict, which takes at least "
            f"{ENOUGH} different ones."
        )

    @property
    def verdict(self) -> str:
        """What the controls say of the circuit, in a sentence; empty until they are known."""
        result = self.evaluation
        if self.unevaluated:
            return f"Nothing beats its controls: {self.unevaluated}"
        if result is None:
            return ""
        if self.does_task is False:
            whole, empty = result.clean.logit_diff, result.empty.logit_diff
            return (
                "Nothing beats its controls: on pairs the search did not see, the whole model's "
                f"logit difference is {whole.mean():.2f} ± {_error(whole):.2f} (mean and standard "
                f"error, n {len(whole)}), and {empty.mean():.2f} with everything ablated, so it "
                "does not do the task."
            )
        if not self.circuit.sites:
            return (
                "Nothing beats its controls: with every node ablated the score stays within the "
                "threshold, so no circuit is needed for it."
            )
        sentence = f"Alone it keeps {result.faithfulness:.0%} of the clean logit difference"
        if result.controls is None:
            return f"{sentence}. {' '.join(result.notes)}"
        n = len(result.controls.sites)
        sentence += (
            f"; {n} random circuits of its size keep {_span(result, result.controls.kept)}"
            if n > 1
            else f"; 1 random circuit of its size keeps {result.share(result.controls.kept[0]):.0%}"
        )
        if not self.fresh:
            return (
                f"{sentence}. This is on the very pairs it was found on, which any search fits: "
                "judge it on fresh pairs."
            )
        if few := self._few_controls:
            return f"{sentence}, on pairs the search did not see. {few}"
        if self.beats_controls:
            return f"{sentence}, on pairs the search did not see: it beats {result.kept_beats:.0%}."
        return f"Nothing beats its controls. {sentence}, on pairs the search did not see."


def _span(result: Evaluation, scores: np.ndarray) -> str:
    shares = [result.share(float(score)) for score in scores]
    return f"{np.mean(shares):.0%} on average, {max(shares):.0%} at most"


def _clearly(values: Float[np.ndarray, " pairs"]) -> bool:
    """Whether a mean lies three standard errors above 0."""
    return len(values) > 1 and bool(values.mean() > 3 * _error(values))


def _error(values: Float[np.ndarray, " pairs"]) -> float:
    """The standard error of the mean; NaN for fewer than two."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
