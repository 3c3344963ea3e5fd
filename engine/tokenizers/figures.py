"""Numbers and how many tokens each takes, as a plotly figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from ..showing.charts import chart_layout
from ..showing.heatmap import cell_heatmap, colour_bar
from ..showing.palette import STEPS

if TYPE_CHECKING:
    import plotly.graph_objects as go


def lengths_figure(
    lengths: Int[np.ndarray, " n_numbers"], pieces: Sequence[Sequence[str]]
) -> go.Figure:
    """A row a hundred, a column a number within it, coloured by how many tokens it takes."""
    import plotly.graph_objects as go

    n, fewest = len(lengths), int(lengths.min())
    colours = min(int(lengths.max()) - fewest + 1, len(STEPS))
    rows = -(-n // 100)
    z, hover = np.full(rows * 100, np.nan), [""] * (rows * 100)
    z[:n] = np.minimum(lengths - fewest, len(STEPS) - 1)
    for i, (length, own) in enumerate(zip(lengths, pieces, strict=True)):
        hover[i] = f"{i}: {length} token{'' if length == 1 else 's'}, {' '.join(own)}"
    scale = [[(c + edge) / colours, STEPS[c]] for c in range(colours) for edge in (0, 1)]
    names = [str(fewest + c) for c in range(colours)]
    if int(lengths.max()) - fewest >= len(STEPS):
        names[-1] += " or more"
    figure = go.Figure(
        cell_heatmap(
            z.reshape(rows, 100),
            np.array(hover).reshape(rows, 100),
            y=[str(100 * row) for row in range(rows)],
            colorscale=scale,
            zmin=-0.5,
            zmax=colours - 0.5,
            colorbar=colour_bar("tokens", tickvals=list(range(colours)), ticktext=names),
        )
    )
    return figure.update_layout(
        **chart_layout(None, 90 + 24 * rows),
        xaxis={"title": {"text": "tens and units"}, "dtick": 10, "showgrid": False},
        yaxis={
            "title": {"text": "hundreds"},
            "type": "category",
            "autorange": "reversed",
            "showgrid": False,
        },
    )
