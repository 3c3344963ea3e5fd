"""What charts share: how numbers are told at a pointer, the legend above, the room around."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

TOLD = "%{customdata}<extra></extra>"
"""What a pointer reads: the text given for each number."""
BARE = {"ticklen": 0, "showgrid": False, "zeroline": False}
"""An axis of which only the names are drawn."""


def chart_layout(width: int | None, height: int, left: int = 60, **more: Any) -> dict[str, Any]:
    """The layout of a chart with its legend above; as wide as the page without a `width`."""
    return {
        "width": width,
        "height": height,
        "margin": {"l": left, "r": 10, "t": 10, "b": 45},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        **more,
    }


def line(
    x: Sequence[float], y: Sequence[float], hover: Sequence[str], **more: Any
) -> dict[str, Any]:
    """The trace of a line with a dot at each number."""
    return {
        "x": x,
        "y": y,
        "customdata": hover,
        "hovertemplate": TOLD,
        "mode": "lines+markers",
        "marker": {"size": 5},
        **more,
    }
