"""Steering as pictures: effect and damage side by side, each beside random directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ..showing.charts import BARE, TOLD
from ..showing.heatmap import cell_heatmap, colours
from ..showing.palette import PALETTE
from ..showing.writing import signed

if TYPE_CHECKING:
    import plotly.graph_objects as go

_WIDE, _TALL, _GAP, _LEFT, _ABOVE, _BETWEEN = 44, 24, 60, 62, 24, 56
_MOST_WRITTEN = 13
"""Columns of cells that are wide enough for a number."""
_DEEPEST = 1.0
"""Of the divergence: at a nat a token the text is another, and colours tell no more apart."""


def map_figure(
    effect: Float[np.ndarray, "direction layer coefficient"],
    damage: Float[np.ndarray, "direction layer coefficient"],
    layers: Sequence[int],
    coefficients: Sequence[float],
    names: tuple[str, str, str],
    told: Callable[[int, int, int], str],
    best: tuple[int, int] | None,
) -> go.Figure:
    """The direction above, below it the mean of the random ones; effect left, damage right, each
    coloured alike above and below. `names`: of the direction, of the effect and of the damage.
    `told`: what a pointer reads of a layer, a coefficient and a row of panels, by index. `best`: a
    cell that is framed."""
    import plotly.graph_objects as go

    n_layers, n = effect.shape[1:]
    draws = len(effect) - 1
    most = float(np.nanmax(np.abs(effect), initial=0.0)) or 1.0
    deepest = min(_DEEPEST, float(np.nanmax(damage, initial=0.0)) or 1.0)
    wide, tall = _WIDE * n, _TALL * n_layers
    width, height = 2 * wide + _GAP, 2 * tall + _ABOVE + _BETWEEN
    random = f"{draws} random direction{'s' if draws > 1 else ''} as long, mean"
    rows = [
        (names[0], effect[0], damage[0]),
        (random, _mean(effect[1:]), _mean(damage[1:])),
    ]
    figure = go.Figure()
    layout: dict[str, Any] = {}
    notes, shapes = [], []
    for row, (title, one, other) in enumerate(rows):
        top = 1 - (_ABOVE + row * (tall + _BETWEEN)) / height
        for side, (values, name) in enumerate(((one, names[1]), (other, names[2]))):
            number = 2 * row + side + 1
            at = "" if number == 1 else str(number)
            scale = colours(values, side == 0, most=most if side == 0 else deepest)
            hover = [[told(i, j, row) for j in range(n)] for i in range(n_layers)]
            written = [[_short(x, side == 0) for x in line] for line in values]
            figure.add_trace(
                cell_heatmap(
                    values, hover, showscale=False, xaxis=f"x{at}", yaxis=f"y{at}",
                    **({"text": written, "texttemplate": "%{text}", "textfont": {"size": 11}}
                       if n <= _MOST_WRITTEN else {}),
                    **scale,
                )
            )  # fmt: skip
            left = side * (wide + _GAP) / width
            right = left + wide / width
            layout[f"xaxis{at}"] = {
                "domain": [left, right],
                "anchor": f"y{at}",
                "range": [-0.5, n - 0.5],  # of what is not known yet too
                "tickvals": list(range(n)),
                "ticktext": [f"{c:g}".replace("-", "−") for c in coefficients],
                "tickangle": 0,
                **(
                    {"title": {"text": "coefficient", "standoff": 4}}
                    if row == len(rows) - 1
                    else {}
                ),
                **BARE,
            }
            layout[f"yaxis{at}"] = {
                "domain": [max(0.0, top - tall / height), top],
                "anchor": f"x{at}",
                "range": [n_layers - 0.5, -0.5],
                "tickvals": list(range(n_layers)),
                "ticktext": [f"r{layer}" for layer in layers],
                **BARE,
            }
            notes.append(
                {
                    "x": left, "y": top, "xref": "paper", "yref": "paper", "xanchor": "left",
                    "yanchor": "bottom", "showarrow": False, "align": "left",
                    "text": f"<b>{title}</b>: {name}" if side == 0 else name,
                }
            )  # fmt: skip
            if best is not None and row == 0:
                i, j = best
                shapes.append(
                    {
                        "type": "rect", "xref": f"x{at}", "yref": f"y{at}",
                        "x0": j - 0.5, "x1": j + 0.5, "y0": i - 0.5, "y1": i + 0.5,
                        "line": {"color": PALETTE["better"], "width": 3},
                    }
                )  # fmt: skip
    return figure.update_layout(
        autosize=False, width=width + _LEFT + 16, height=height + 66,
        margin={"l": _LEFT, "r": 16, "t": 8, "b": 58}, annotations=notes, shapes=shapes, **layout,
    )  # fmt: skip


def curve_figure(
    coefficients: Sequence[float],
    effect: Float[np.ndarray, "direction coefficient"],
    damage: Float[np.ndarray, "direction coefficient"],
    names: tuple[str, str, str],
    limit: float | None = None,
    best: float | None = None,
) -> go.Figure:
    """Coefficients across; above the effect, below the damage, each with the band from the least to
    the greatest of the random directions. `names`: as in `map_figure`. `limit`: of the damage;
    `best`: a coefficient."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for panel, (values, name) in enumerate(((effect, names[1]), (damage, names[2]))):
        axes = {"xaxis": "x", "yaxis": "y" if panel == 0 else "y2"}
        known = np.isfinite(values[1:]).any(0) if len(values) > 1 else np.zeros(0, bool)
        if known.any():
            x = [c for c, there in zip(coefficients, known, strict=True) if there]
            low, high = np.nanmin(values[1:, known], 0), np.nanmax(values[1:, known], 0)
            edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", **axes}
            figure.add_scatter(x=x, y=high, showlegend=False, **edge)
            figure.add_scatter(
                x=x, y=low, fill="tonexty", fillcolor=PALETTE["gone"], showlegend=panel == 0,
                name=f"{len(values) - 1} random directions", **edge,
            )  # fmt: skip
            figure.add_scatter(
                x=x, y=_mean(values[1:, known]), mode="lines", showlegend=False, hoverinfo="skip",
                line={"color": PALETTE["control"], "dash": "dot", "width": 1.5}, **axes,
            )  # fmt: skip
        own = np.isfinite(values[0])
        figure.add_scatter(
            x=[c for c, there in zip(coefficients, own, strict=True) if there], y=values[0, own],
            mode="lines+markers", name=names[0], showlegend=panel == 0, hovertemplate=TOLD,
            marker={"size": 5}, line={"color": PALETTE["ablated"]},
            customdata=[
                f"<b>{names[0]}</b> × {c:.4g}: {name} {value:.4g}"
                for c, value in zip(coefficients, values[0], strict=True) if np.isfinite(value)
            ],
            **axes,
        )  # fmt: skip
    shapes: list[dict[str, Any]] = []
    if limit is not None:
        shapes.append(_line("y2", PALETTE["worse"], x0=0, x1=1, xref="paper", y0=limit, y1=limit))
    if best is not None:
        shapes.append(_line("paper", PALETTE["better"], x0=best, x1=best, xref="x", y0=0, y1=1))
    return figure.update_layout(
        width=None, height=430, margin={"l": 66, "r": 10, "t": 10, "b": 45}, shapes=shapes,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={"anchor": "y2", "title": {"text": "coefficient"}},
        yaxis={"domain": [0.46, 1], "title": {"text": names[1]}},
        yaxis2={"domain": [0, 0.4], "title": {"text": names[2]}, "rangemode": "tozero"},
    )  # fmt: skip


def _line(yref: str, colour: str, **ends: Any) -> dict[str, Any]:
    return {"type": "line", "yref": yref, "line": {"color": colour, "width": 1.5, "dash": "dash"},
            **ends}  # fmt: skip


def _mean(values: np.ndarray) -> np.ndarray:
    """The mean over the first axis; NaN where one of them is."""
    return np.asarray(values.mean(0))


def _short(x: float, with_sign: bool) -> str:
    """A number in as few signs as a cell has room for."""
    if not np.isfinite(x):
        return ""
    if with_sign:
        return signed(x, 1)
    return f"{x:.0f}" if x >= 9.95 else f"{x:.1f}" if x >= 0.995 else f"{x:.2f}"
