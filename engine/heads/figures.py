"""A head's attention pattern drawn."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..experiment.results import Tokens
from ..showing.charts import BARE
from ..showing.heatmap import cell_heatmap, colour_bar, colours
from ..text.shown import token_text

if TYPE_CHECKING:
    import plotly.graph_objects as go


def pattern_figure(pattern: Float[np.ndarray, "pos pos"], tokens: Tokens) -> go.Figure:
    """Queries down, keys across; what a query cannot see is blank."""
    import plotly.graph_objects as go

    n = len(tokens)
    texts = map(token_text, tokens.texts, tokens.pieces)
    labels = [f"{p} {escape(text)}" for p, text in enumerate(texts)]
    seen = np.where(np.tri(n, dtype=bool), pattern, np.nan)
    told = [
        [f"from <b>{query}</b> to <b>{key}</b>: {pattern[i, j]:.1%}"
         for j, key in enumerate(labels)]
        for i, query in enumerate(labels)
    ]  # fmt: skip
    size = max(12, min(30, 420 // n))
    bar = colour_bar("attention")
    ticks = list(range(0, n, max(1, -(-n // 30))))
    named = {"tickvals": ticks, "ticktext": [labels[i] for i in ticks], **BARE}
    return go.Figure(
        cell_heatmap(seen, told, colorbar=bar, **colours(seen, signed=False, most=1.0)),
        layout={
            "autosize": False,
            "width": size * n + 210,
            "height": max(size * n, 170) + 100,
            "margin": {"l": 90, "r": 90, "t": 10, "b": 90},
            "xaxis": {"tickangle": -60, **named},
            "yaxis": {"range": [n - 0.5, -0.5], **named},
        },
    )
