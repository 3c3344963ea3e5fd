"""Places of a layer, patched position by position, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from ..showing.heatmap import cell_heatmap, colour_bar, colours, signs
from ..showing.palette import PALETTE

if TYPE_CHECKING:
    import plotly.graph_objects as go


def patch_figure(
    values: Float[np.ndarray, "layer pos"],
    exact: Bool[np.ndarray, "layer pos"] | None,
    columns: Sequence[tuple[int, str, str]],
    name: str,
    what: str,
    signed: bool,
    less_is_better: bool = False,
) -> go.Figure:
    """Layers down, positions across, each under its clean token and, where it differs, the
    corrupted one. `exact`: which are no estimates; None where all are."""
    import plotly.graph_objects as go

    labels = [_label(*column) for column in columns]
    scale = colours(values, signed, less_is_better)
    hover = [
        [f"<b>layer {i}</b> {what}, at {label.replace('<br>', ' ')}<br>{name}: {value:.3f}"
         for label, value in zip(labels, row, strict=True)]
        for i, row in enumerate(values)
    ]  # fmt: skip
    heatmap = cell_heatmap(values, hover, colorbar=colour_bar(name), **scale)
    if signed:
        heatmap.update(text=signs(values, scale["zmax"]), texttemplate="%{text}")
    guesses = np.isfinite(values) & (True if exact is None else ~exact)
    rows, places = np.nonzero(guesses)
    stroke = {"symbol": "line-ne-open", "size": 9, "line": {"width": 1.5}}
    hatches = go.Scatter(
        x=places,
        y=rows,
        mode="markers",
        hoverinfo="skip",
        marker={**stroke, "color": PALETTE["frame"]},
    )
    wide, tall = max(28, min(64, 900 // max(len(columns), 1))), max(14, min(28, 640 // len(values)))
    title = "position, clean → corrupted" + (" (hatched: an estimate)" if len(rows) else "")
    return go.Figure(
        [heatmap, hatches] if len(rows) else [heatmap],
        layout={
            "autosize": False,
            "width": wide * len(columns) + 190,
            "meta": {"least": 24 * len(columns) + 190},
            "height": tall * len(values) + 120,
            "margin": {"l": 60, "r": 130, "t": 10, "b": 110},
            "hoverlabel": {"align": "left"},
            "xaxis": {
                "tickvals": list(range(len(columns))),
                "ticktext": labels,
                "tickangle": -60 if max(map(len, labels), default=0) > 8 else 0,
                "title": {"text": title, "standoff": 6},
                "showgrid": False,
            },
            "yaxis": {
                "autorange": "reversed",
                "tickvals": list(range(0, len(values), max(1, len(values) // 16))),
                "title": {"text": "layer", "standoff": 6},
                "showgrid": False,
            },
        },
    )


def _label(position: int, clean: str, corrupted: str) -> str:
    """A position with its tokens."""
    clean, corrupted = escape(clean), escape(corrupted)
    return f"{position} {clean}" if clean == corrupted else f"{position} {clean} → {corrupted}"
