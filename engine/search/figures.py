"""A search for a circuit as plotly figures: what went, what each node costs, trial by trial."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ExperimentError
from ..experiment.sites import Head, Site
from ..showing.palette import KEPT, PALETTE
from ..showing.site_grid import SiteGrid, cell_heatmap, cells, placed, positions_figure
from ..showing.writing import visible
from .results import Discovery

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_DRAWN = 40
"""Heads and MLPs drawn position by position."""


def draw_search(result: Discovery) -> go.Figure:
    """Layers down, heads across, the MLPs at the right: grey what has gone, blue by its cost what
    was tried and stays, blank what was not tried yet.

    Of a search position by position: the position at which each site costs most.
    """
    rows = _sites(result)
    told = {site: _told(result, site, cost, stays) for site, cost, stays in rows}
    kept = {site: cost for site, cost, stays in rows if stays}
    name = f"kept: {_unit(result)}\nwithout it"
    known = [cost for cost in kept.values() if np.isfinite(cost)]
    figure = SiteGrid.of(result.circuit, kept, name).figure(
        told, KEPT, max([*known, result.search.threshold])
    )
    gone = {site: 0.0 for site, cost, stays in rows if not stays and not np.isnan(cost)}
    return figure.add_trace(
        cell_heatmap(
            SiteGrid.of(result.circuit, gone, "gone").drawn,
            placed(told, figure.data[0].z.shape),
            colorscale=[(end, PALETTE["gone"]) for end in (0.0, 1.0)],
            zmin=0,
            zmax=1,
            showscale=False,
        )
    )


def draw_search_positions(result: Discovery, most: int = MOST_DRAWN) -> go.Figure:
    """The sites that are kept anywhere down, those that cost most first, positions across.

    Raises: ExperimentError for a search without a position axis.
    """
    if result.positions is None:
        raise ExperimentError("This search was not made position by position.")
    heads, mlps = result.losses("heads"), result.losses("mlps")
    rows: list[tuple[Site, np.ndarray]] = []
    for site in result.circuit.sites:
        if isinstance(site, Head):
            at, stays = heads[:, site.layer, site.head], result.heads_kept[:, site.layer, site.head]
        else:
            at, stays = mlps[:, site.layer], result.mlps_kept[:, site.layer]
        rows.append((site, np.where(stays, at, np.nan)))
    rows.sort(key=lambda row: -np.nan_to_num(row[1]).max())
    labels = [str(position) for position in result.positions]
    return positions_figure(rows[:most], labels, _unit(result), colorscale=KEPT, zmin=0)


def draw_trials(result: Discovery) -> go.Figure:
    """What each trial cost, in order: grey where the node stays, and the line of what is left."""
    import plotly.graph_objects as go

    search = result.search
    losses = [search.loss(trial.score, result.clean) for trial in result.trials]
    names = [escape(visible(str(trial.node))) for trial in result.trials]
    went = [i for i, trial in enumerate(result.trials) if trial.removed]
    stays = [i for i, trial in enumerate(result.trials) if not trial.removed]
    top = max([2.5 * search.threshold, *(losses[i] for i in went)])
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
                x=[0, *(i + 1 for i in went)],
                y=[0.0, *(losses[i] for i in went)],
                customdata=["nothing", *(names[i] for i in went)],
                mode="lines+markers",
                line={"color": PALETTE["circuit"], "width": 1.5, "shape": "hv"},
                marker={"size": 4},
                name="goes",
                hovertemplate="%{customdata} goes: %{y:.3f}<extra></extra>",
            ),
        ],
        layout={
            "height": 240,
            "width": 620,
            "autosize": False,
            "margin": {"l": 60, "r": 20, "t": 10, "b": 45},
            "xaxis": {"title": {"text": "candidate", "standoff": 6}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": _unit(result), "standoff": 6}, "range": [None, top * 1.05]},
            "shapes": [
                {
                    "type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": search.threshold,
                    "y1": search.threshold,
                    "line": {"dash": "dot", "width": 1, "color": PALETTE["control"]},
                }
            ],
            "legend": {"orientation": "h", "y": 1.12, "x": 0},
        },
    )  # fmt: skip


def _sites(result: Discovery) -> list[tuple[Site, float, bool]]:
    """Each head and MLP that is a node: its cost, and whether it stays."""
    costs = result.grid()
    rows: list[tuple[Site, float, bool]] = []
    for site in cells(result.circuit):
        if isinstance(site, Head):
            stays = result.heads_kept[..., site.layer, site.head].any()
        elif result.search.mlps:
            stays = result.mlps_kept[..., site.layer].any()
        else:
            continue
        rows.append((site, costs[site], bool(stays)))
    return rows


def _told(result: Discovery, site: Site, cost: float, stays: bool) -> str:
    if np.isnan(cost):
        return f"<b>{site}</b> not tried yet"
    if not stays:
        return f"<b>{site}</b> has gone"
    where = "" if result.positions is None else ", where that costs most"
    return f"<b>{site}</b> stays<br>without it{where}: {_unit(result)} {cost:.3f}"


def _unit(result: Discovery) -> str:
    return "divergence, nats" if result.search.metric == "kl" else "share of the score lost"
