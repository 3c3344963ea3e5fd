"""A search for a circuit as plotly figures: what went, what each node costs, trial by trial."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ..experiment.sites import Site
from ..showing.charts import chart_layout, line
from ..showing.palette import PALETTE
from ..showing.writing import visible
from .search import Node, Trial

if TYPE_CHECKING:
    import plotly.graph_objects as go


def nodes_texts(
    costs: Mapping[Site, float], gone: Collection[Site], unit: str, without: str
) -> dict[Site, str]:
    """What a pointer over each node reads: whether it has gone, stays or was not tried yet.

    `costs`: of every node, in `unit`; NaN where it was not tried. `without`: of which loss.
    """
    return {
        site: f"<b>{site}</b> not tried yet"
        if np.isnan(cost)
        else f"<b>{site}</b> has gone"
        if site in gone
        else f"<b>{site}</b> stays<br>{without}: {unit} {cost:.3f}"
        for site, cost in costs.items()
    }


def ranked_texts(ranked: Sequence[tuple[Node, float]], kept: Collection[Node]) -> dict[Site, str]:
    """What a pointer over each node reads: whether it stays, and its place. `ranked`: each node
    with its number, the least first."""
    n = len(ranked)
    return {
        node.site: f"<b>{node}</b> {'stays' if node in kept else 'has gone'}: rank {n - i} of {n}"
        f"<br>score by gradients {number:.3f}"
        for i, (node, number) in enumerate(ranked)
    }


def left_figure(
    trials: Sequence[Trial],
    losses: Sequence[float],
    threshold: float,
    unit: str,
    n_nodes: int,
    n_kept: int,
) -> go.Figure:
    """What is lost with so many of the first nodes left, at each number that was tried, and with
    all of them; marked the number that is kept.

    `losses`: of the trials, in `unit`, of which a dotted line marks the `threshold`.
    """
    import plotly.graph_objects as go

    tried = {t.left: loss for t, loss in zip(trials, losses, strict=True) if t.left is not None}
    tried[n_nodes] = 0.0
    left = sorted(tried)
    top = max(2.5 * threshold, tried.get(n_kept, 0.0))
    lost = [min(tried[n], top) for n in left]
    words = [f"{n} left: {tried[n]:.3f}" for n in left]
    at = left.index(n_kept)
    return go.Figure(
        [
            go.Scatter(
                line(
                    left, lost, words,
                    mode="lines+markers",
                    line={"color": PALETTE["tried"], "width": 1.5},
                    marker={"color": PALETTE["tried"], "size": 5},
                    name="tried",
                    hovertemplate="%{customdata}<extra></extra>",
                )
            ),
            go.Scatter(
                x=[n_kept],
                y=[lost[at]],
                mode="markers",
                marker={"color": PALETTE["circuit"], "size": 10},
                name="kept",
                hovertemplate=f"kept: {words[at]}<extra></extra>",
            ),
        ],
        layout={
            **chart_layout(620, 240, autosize=False),
            "xaxis": {
                "title": {"text": "nodes left, the first by rank", "standoff": 6},
                "range": [-0.02 * n_nodes, 1.02 * n_nodes],
            },
            "yaxis": {"title": {"text": unit, "standoff": 6}, "range": [None, top * 1.05]},
            "shapes": [_threshold_line(threshold)],
        },
    )  # fmt: skip


def _threshold_line(threshold: float) -> dict[str, Any]:
    """The dotted line that a loss may not reach."""
    return {
        "type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": threshold, "y1": threshold,
        "line": {"dash": "dot", "width": 1, "color": PALETTE["control"]},
    }  # fmt: skip


def trials_figure(
    trials: Sequence[Trial], losses: Sequence[float], threshold: float, unit: str
) -> go.Figure:
    """What each trial cost, in order: grey where the node stays, and the line of what is left.

    `losses`: of the trials, in `unit`, of which a dotted line marks the `threshold`.
    """
    import plotly.graph_objects as go

    names = [escape(visible(str(trial.node))) for trial in trials]
    went = [i for i, trial in enumerate(trials) if trial.removed]
    stays = [i for i, trial in enumerate(trials) if not trial.removed]
    top = max([2.5 * threshold, *(losses[i] for i in went)])
    return go.Figure(
        [
            go.Scatter(
                x=[i + 1 for i in stays],
                y=[min(losses[i], top) for i in stays],
                customdata=[[names[i], losses[i]] for i in stays],
                mode="markers",
                marker={"color": PALETTE["tried"], "size": 4},
                name="stays",
                hovertemplate="%{customdata[0]} stays: %{customdata[1]:.3f}<extra></extra>",
            ),
            go.Scatter(
                line(
                    [0, *(i + 1 for i in went)],
                    [0.0, *(losses[i] for i in went)],
                    ["nothing", *(names[i] for i in went)],
                    line={"color": PALETTE["circuit"], "width": 1.5, "shape": "hv"},
                    name="goes",
                    hovertemplate="%{customdata} goes: %{y:.3f}<extra></extra>",
                )
            ),
        ],
        layout={
            **chart_layout(620, 240, autosize=False),
            "xaxis": {"title": {"text": "candidate", "standoff": 6}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": unit, "standoff": 6}, "range": [None, top * 1.05]},
            "shapes": [_threshold_line(threshold)],
        },
    )
