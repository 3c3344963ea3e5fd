"""Circuits as plotly figures: sites filled by the group they are in, and shares of every two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ..experiment.sites import MLP, Head, Site
from ..showing.charts import BARE
from ..showing.heatmap import cell_heatmap, colour_bar
from ..showing.palette import MORE, PALETTE
from ..showing.site_grid import Sided, SiteGrid, cells, grid_layout, placed
from ..showing.writing import visible

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MOST_NAME = 32


def kept_figure(
    model: Sided, heads: Sequence[Head], mlps: Sequence[MLP], not_asked: bool
) -> go.Figure:
    """Layers down, heads across, the MLPs at the right; what is kept is filled.

    `not_asked`: whether the MLPs are all kept without having been asked about.
    """
    hover: dict[Site, str] = {site: f"<b>{site}</b> ablated" for site in cells(model)}
    hover |= {site: f"<b>{site}</b> kept" for site in heads}
    hover |= {
        site: f"<b>{site}</b> kept{' (not asked about)' if not_asked else ''}" for site in mlps
    }
    groups: dict[str, tuple[str, Sequence[Site]]] = {
        f"{_count(len(heads), 'head')} kept": ("head", heads),
        f"{_count(len(mlps), 'MLP')} kept": ("mlp", mlps),
    }
    return filled_figure(model, groups, hover)


def filled_figure(
    model: Sided, groups: Mapping[str, tuple[str, Sequence[Site]]], hover: Mapping[Site, str]
) -> go.Figure:
    """A grid of such a model whose groups, by name, are filled in a colour of the palette each.

    `hover`: what a pointer over each site reads; sites it does not name are blank.
    """
    import plotly.graph_objects as go

    kinds = dict.fromkeys(hover, 0.0)
    for i, (_, sites) in enumerate(groups.values(), 1):
        kinds |= dict.fromkeys(sites, float(i))
    values = SiteGrid.of(model, kinds, "kind").drawn
    colours = [PALETTE["rest"], *(PALETTE[part] for part, _ in groups.values())]
    steps = [
        (edge / len(colours), colour) for i, colour in enumerate(colours) for edge in (i, i + 1)
    ]
    figure = go.Figure(
        cell_heatmap(
            values,
            placed(hover, values.shape),
            colorscale=steps,
            zmin=-0.5,
            zmax=len(groups) + 0.5,
            showscale=False,
        )
    )
    for name, colour in zip(groups, colours[1:], strict=True):
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            marker={"symbol": "square", "size": 12, "color": colour},
            name=name,
        )
    layout = grid_layout(model.n_layers, model.n_heads, top=20 * len(groups) + 10)
    layout["width"] = max(layout["width"], 110 + int(6.6 * max(map(len, groups))))
    return figure.update_layout(
        **layout, legend={"x": 0, "y": 1.0, "yanchor": "bottom", "itemclick": False}
    )


def matrix_figure(
    names: Sequence[str], values: np.ndarray, texts: np.ndarray, hover: np.ndarray, title: str
) -> go.Figure:
    """Numbers from 0 to 1 of every two things, each but the first down, each but the last across.

    `values`, what is written (`texts`) and what a pointer reads (`hover`): [name name], of which
    what is below the diagonal is drawn.
    """
    import plotly.graph_objects as go

    n = len(names)
    figure = go.Figure(
        cell_heatmap(
            values[1:, :-1],
            hover[1:, :-1],
            text=texts[1:, :-1],
            texttemplate="%{text}",
            colorscale=MORE,
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=2,
            colorbar=colour_bar(title),
        )
    )
    room = 12 + int(6.6 * max(map(len, names)))
    marks = list(range(n - 1))
    return figure.update_layout(
        autosize=False,
        width=room + 100 * (n - 1) + 100,
        height=58 * (n - 1) + 40 + int(room * 0.6),
        margin={"l": room, "r": 100, "t": 10, "b": 30 + int(room * 0.6)},
        xaxis={"tickvals": marks, "ticktext": names[:-1], "tickangle": -35, **BARE},
        yaxis={"tickvals": marks, "ticktext": names[1:], "autorange": "reversed", **BARE},
    )


def short_name(name: str) -> str:
    """A circuit's name as figures show it, cut where it is long."""
    name = visible(name).replace("␣", " ")
    return escape(name if len(name) <= _MOST_NAME else f"{name[: _MOST_NAME - 1]}…")


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
