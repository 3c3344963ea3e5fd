"""Direct attribution as plotly figures: beside the total effect, and by source token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ..experiment.sites import MLP, Head
from ..showing.charts import TOLD, chart_layout
from ..showing.palette import PALETTE
from ..showing.site_grid import SiteGrid
from ..showing.writing import signed

if TYPE_CHECKING:
    import plotly.graph_objects as go

_NAMED = 8
"""Points whose name stands beside them; the others are named at the pointer."""
_KINDS = (("heads", Head, "circle", "head"), ("MLPs", MLP, "diamond", "mlp"))


def beside_figure(direct: SiteGrid, total: SiteGrid) -> go.Figure:
    """A point for each head and MLP that both grids know; the farthest out have their names."""
    import plotly.graph_objects as go

    known = set(total.sites)
    sites = [site for site in direct.sites if site in known]
    ends = [np.abs([grid[site] for site in sites]).max(initial=1e-9) for grid in (direct, total)]
    size = {site: max(abs(direct[site]) / ends[0], abs(total[site]) / ends[1]) for site in sites}
    named = set(sorted(sites, key=lambda site: -size[site])[:_NAMED])
    end = float(min(ends))
    line = {"color": PALETTE["control"], "width": 1, "dash": "dash"}
    figure = go.Figure(
        go.Scatter(
            x=[-end, end], y=[end, -end], mode="lines", line=line, hoverinfo="skip",
            name="direct alone",
        )
    )  # fmt: skip
    for name, kind, symbol, colour in _KINDS:
        mine = [site for site in sites if isinstance(site, kind)]
        figure.add_scatter(
            x=[direct[site] for site in mine],
            y=[total[site] for site in mine],
            mode="markers+text",
            text=[str(site) if site in named else "" for site in mine],
            textposition="top center",
            textfont={"size": 11},
            marker={"symbol": symbol, "size": 9, "color": PALETTE[colour], "opacity": 0.85},
            customdata=[
                f"<b>{site}</b> writes {signed(direct[site])}<br>"
                f"switched off: {signed(total[site])}"
                for site in mine
            ],
            hovertemplate=TOLD,
            cliponaxis=False,
            name=name,
        )
    zero = {"zeroline": True, "zerolinewidth": 1, "automargin": True}
    return figure.update_layout(
        **chart_layout(None, 440, showlegend=True),
        xaxis={"title": {"text": "direct, clean run: logits towards the answer"}, **zero},
        yaxis={"title": {"text": "change of the logit difference, switched off"}, **zero},
    )


def sources_figure(head: Head, tokens: Sequence[str], runs: Mapping[str, np.ndarray]) -> go.Figure:
    """A bar a token for each run; runs that are the same are drawn once."""
    import plotly.graph_objects as go

    drawn = dict(runs)
    if np.array_equal(drawn["clean"], drawn["ablated"], equal_nan=True):
        del drawn["ablated"]
    figure = go.Figure()
    for name, values in drawn.items():
        figure.add_bar(
            x=list(range(len(tokens))),
            y=[None if np.isnan(value) else float(value) for value in values],
            name=name,
            marker={
                "color": PALETTE[name],
                "pattern": {"shape": "" if name == "clean" else "/"},
            },
            customdata=[
                f"{i} {escape(token)}, {name}: {signed(float(value))}"
                for i, (token, value) in enumerate(zip(tokens, values, strict=True))
            ],
            hovertemplate=TOLD,
        )
    every = max(1, len(tokens) // 24)
    shown = range(0, len(tokens), every)
    layout = chart_layout(None, 340, showlegend=True, barmode="group")
    return figure.update_layout(
        **layout | {"margin": layout["margin"] | {"b": 70}},
        xaxis={
            "tickvals": [*shown],
            "ticktext": [f"{i}<br>{escape(tokens[i][:8])}" for i in shown],
            "title": {"text": "source token"},
            "showgrid": False,
        },
        yaxis={"title": {"text": f"{head}, logits towards the answer"}, "zeroline": True},
    )
