"""Two numbers of each head and MLP, one against the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..experiment.sites import MLP, Head
from .charts import TOLD, chart_layout
from .palette import PALETTE
from .site_grid import SiteGrid
from .writing import signed

if TYPE_CHECKING:
    import plotly.graph_objects as go

_NAMED = 8
"""Points whose name stands beside them; the others are named at the pointer."""
_KINDS = (("heads", Head, "circle", "head"), ("MLPs", MLP, "diamond", "mlp"))


def beside_figure(
    across: SiteGrid,
    up: SiteGrid,
    *,
    titles: tuple[str, str],
    says: tuple[str, str],
    line: str,
    falls: bool = False,
) -> go.Figure:
    """A point for each head and MLP that both grids know; the farthest out have their names.

    `titles`: of both axes. `says`: what a pointer reads of each number. `line`: the name of the
    dashed line where both are equal or, where it `falls`, each the other's negative.
    """
    import plotly.graph_objects as go

    known = set(up.sites)
    sites = [site for site in across.sites if site in known]
    ends = [np.abs([grid[site] for site in sites]).max(initial=1e-9) for grid in (across, up)]
    size = {site: max(abs(across[site]) / ends[0], abs(up[site]) / ends[1]) for site in sites}
    named = set(sorted(sites, key=lambda site: -size[site])[:_NAMED])
    end = float(min(ends))
    drawn = {"color": PALETTE["control"], "width": 1, "dash": "dash"}
    figure = go.Figure(
        go.Scatter(
            x=[-end, end], y=[end, -end] if falls else [-end, end], mode="lines", line=drawn,
            hoverinfo="skip", name=line,
        )
    )  # fmt: skip
    for name, kind, symbol, colour in _KINDS:
        mine = [site for site in sites if isinstance(site, kind)]
        figure.add_scatter(
            x=[across[site] for site in mine],
            y=[up[site] for site in mine],
            mode="markers+text",
            text=[str(site) if site in named else "" for site in mine],
            textposition="top center",
            textfont={"size": 11},
            marker={"symbol": symbol, "size": 9, "color": PALETTE[colour], "opacity": 0.85},
            customdata=[
                f"<b>{site}</b> {says[0]} {signed(across[site])}<br>{says[1]} {signed(up[site])}"
                for site in mine
            ],
            hovertemplate=TOLD,
            cliponaxis=False,
            name=name,
        )
    zero = {"zeroline": True, "zerolinewidth": 1, "automargin": True}
    return figure.update_layout(
        **chart_layout(None, 440, showlegend=True),
        xaxis={"title": {"text": titles[0]}, **zero},
        yaxis={"title": {"text": titles[1]}, **zero},
    )
