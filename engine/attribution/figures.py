"""Direct attribution as a plotly figure, by source token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ..experiment.sites import Head
from ..showing.charts import TOLD, chart_layout
from ..showing.palette import PALETTE
from ..showing.writing import signed

if TYPE_CHECKING:
    import plotly.graph_objects as go


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
