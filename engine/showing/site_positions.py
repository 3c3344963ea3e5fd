"""Numbers of sites at each of a prompt's positions: as rows, a figure and a table."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..experiment.sites import Head, Site
from .heatmap import cell_heatmap, colour_bar
from .site_grid import site_columns
from .writing import Rows

if TYPE_CHECKING:
    import plotly.graph_objects as go

Both = tuple[np.ndarray, np.ndarray]
"""Numbers of heads [*pos layer head_index] and of MLPs [*pos layer]."""


def at(values: Both, site: Site) -> np.ndarray:
    """A site's numbers [*pos]."""
    heads, mlps = values
    return heads[..., site.layer, site.head] if isinstance(site, Head) else mlps[..., site.layer]


def positions_figure(
    rows: Mapping[Site, np.ndarray], labels: Sequence[str], name: str, most: int, **scale: Any
) -> go.Figure:
    """Sites down, those with the greatest numbers first and `most` of them; positions across.

    `rows`: the numbers [pos] of each site; NaN is blank. `labels`: of the positions.
    """
    import plotly.graph_objects as go

    height = {site: -np.nan_to_num(np.abs(row)).max() for site, row in rows.items()}
    sites = sorted(rows, key=height.__getitem__)[:most]
    values = np.array([rows[site] for site in sites]).reshape(-1, len(labels))
    heatmap = cell_heatmap(
        values,
        [[f"<b>{site}</b> at {label}" for label in labels] for site in sites],
        hovertemplate="%{customdata}: %{z:.3f}<extra></extra>",
        colorbar=colour_bar(name),
        **scale,
    )
    turn = max(map(len, labels), default=0) > 3
    marks, names = list(range(len(rows))), [str(site) for site in sites]
    return go.Figure(
        heatmap,
        layout={
            "autosize": False,
            "width": max(340, (44 if turn else 30) * len(labels) + 210),
            "height": 22 * len(sites) + 110,
            "margin": {"l": 60, "r": 130, "t": 10, "b": 90 if turn else 50},
            "xaxis": {
                "tickvals": list(range(len(labels))),
                "ticktext": list(labels),
                "tickangle": -60 if turn else 0,
                "title": {"text": "position", "standoff": 6},
            },
            "yaxis": {"tickvals": marks, "ticktext": names, "autorange": "reversed"},
        },
    )


def positions_table(
    sites: Sequence[Site],
    columns: Mapping[str, Both],
    places: Sequence[Mapping[str, object]],
    by: Both | None = None,
    most: int | None = None,
) -> Rows:
    """One row a site and place, sites in order; or, `by` some numbers, the greatest in size first,
    `most` of them. What is not finite is empty.

    `places`: the columns that say where, one for each position; one alone without a position axis.
    """
    cells = [(site, k) for site in sites for k in range(len(places))]
    if by is not None:
        size = np.nan_to_num(np.abs([at(by, site) for site in sites])).ravel()
        n = len(cells) if most is None else most
        cells = [cells[i] for i in heapq.nlargest(n, range(len(cells)), key=size.__getitem__)]
    return [
        {
            **site_columns(site),
            **places[k],
            **{name: plain(at(both, site).flat[k]) for name, both in columns.items()},
        }
        for site, k in cells
    ]


def plain(value: np.ndarray | float) -> object:
    """A number as a table holds it: empty where it is not finite."""
    return float(value) if np.isfinite(value) else ""
