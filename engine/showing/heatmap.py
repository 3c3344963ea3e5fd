"""Numbers as coloured cells: their colours, signs, legend and cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .charts import TOLD
from .palette import MORE, SIGNED, Scale, turned

if TYPE_CHECKING:
    import plotly.graph_objects as go

_PLAIN = 0.2
"""Of the strongest colour: from here on a number's sign is written on its cell."""


def signs(values: np.ndarray, most: float) -> np.ndarray:
    """+ or − where a number's colour is strong enough to be read as one."""
    strong = np.abs(np.nan_to_num(values)) >= _PLAIN * most
    return np.where(strong, np.where(values < 0, "−", "+"), "")


def colours(
    values: np.ndarray,
    signed: bool,
    less_is_better: bool = False,
    scale: Scale | None = None,
    most: float | None = None,
) -> dict[str, Any]:
    """The colours of numbers, and where they end."""
    known = values[np.isfinite(values)]
    scale = scale or (SIGNED if signed else MORE)
    if signed:
        most = most or (float(np.abs(known).max()) if known.size else 1.0) or 1.0
        return {
            "colorscale": turned(scale) if less_is_better else scale,
            "zmin": -most,
            "zmax": most,
        }
    low = min(0.0, float(known.min())) if known.size else 0.0
    if most is None:
        most = float(known.max()) if known.size else 1.0
    return {"colorscale": scale, "zmin": low, "zmax": max(most, low + 1e-9)}


def colour_bar(name: str, **more: Any) -> dict[str, Any]:
    """The legend of the colours."""
    return {"title": {"text": name.replace("\n", "<br>"), "side": "right"}, "thickness": 12, **more}


def cell_heatmap(values: np.ndarray, hover: Any, **scale: Any) -> go.Heatmap:
    """Numbers as cells with a gap between, told at the pointer."""
    import plotly.graph_objects as go

    cells = {
        "z": values,
        "x": list(range(values.shape[1])),
        "y": list(range(values.shape[0])),
        "customdata": hover,
        "hovertemplate": TOLD,
        "hoverongaps": False,
        "xgap": 1,
        "ygap": 1,
    }
    return go.Heatmap({**cells, **scale})
