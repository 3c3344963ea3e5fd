"""Faithfulness by size as a plotly figure: curves, circuits as points, a band of random ones."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import ExperimentError
from ..showing.charts import TOLD, chart_layout, line
from ..showing.palette import PALETTE
from ..tasks.pairs import Pair
from .ranked import Ranked

if TYPE_CHECKING:
    import plotly.graph_objects as go

_COLOURS = ("clean", "ablated", "unswitched", "logits", "answer", "down", "head", "odd")
_SYMBOLS = ("diamond", "square", "triangle-up", "star", "cross", "pentagon")
_TICKS = (0.001, 0.01, 0.1, 0.5, 1.0)


class Curve(Protocol):
    """What is drawn of a curve."""

    ranked: Ranked
    by: str
    pairs: tuple[Pair, ...]
    metric: str
    sizes: tuple[int, ...]
    n_members: int

    @property
    def is_point(self) -> bool: ...
    @property
    def shares(self) -> tuple[float, ...]: ...
    @property
    def faithfulness(self) -> np.ndarray: ...
    @property
    def spread(self) -> np.ndarray: ...
    @property
    def control_faithfulness(self) -> np.ndarray: ...


def curves_figure(curves: Sequence[Any]) -> go.Figure:
    """Shares across, f up; lines at 0 and 1. Raises: ExperimentError for what does not compare."""
    import plotly.graph_objects as go

    _check_alike(curves)
    figure = go.Figure()
    banded = next((one for one in curves if not one.is_point), curves[0])
    if len(banded.control_faithfulness):
        _band(figure, banded)
    drawn = [one for one in curves if not one.is_point]
    for i, one in enumerate(drawn):
        _curve(figure, one, PALETTE[_COLOURS[i % len(_COLOURS)]])
    points = [one for one in curves if one.is_point]
    for i, one in enumerate(points):
        _point(figure, one, PALETTE[_COLOURS[(len(drawn) + i) % len(_COLOURS)]], _SYMBOLS[i % 6])
    least = min([_TICKS[0], *(share for one in curves for share in one.shares if share > 0)])
    level = curves[0].ranked.level
    lines = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y,
         "line": {"dash": dash, "width": 1, "color": PALETTE["control"]}}
        for y, dash in ((0.0, "dot"), (1.0, "dash"))
    ]  # fmt: skip
    return figure.update_layout(
        **chart_layout(None, 440, left=65, showlegend=True),
        xaxis={
            "type": "log",
            "tickvals": _TICKS,
            "ticktext": [f"{100 * share:g}%" for share in _TICKS],
            "range": [float(np.log10(least)) - 0.06, 0.06],
            "title": {"text": f"share of all {curves[0].n_members:,} {level} ranked"},
        },
        yaxis={"title": {"text": "faithfulness"}, "zeroline": False},
        shapes=lines,
    )  # fmt: skip


def _check_alike(curves: Sequence[Curve]) -> None:
    if not curves:
        raise ExperimentError("There is no curve to draw.")
    first = curves[0]
    for one in curves[1:]:
        if one.ranked.level != first.ranked.level:
            raise ExperimentError(
                f"“{one.ranked.name[:60]}” is of {one.ranked.level} and “{first.ranked.name[:60]}” "
                f"of {first.ranked.level}: their shares are of different things. Draw them apart."
            )
        same = (one.ranked.model, one.pairs, one.metric)
        if same != (first.ranked.model, first.pairs, first.metric):
            raise ExperimentError(
                f"“{one.ranked.name[:60]}” and “{first.ranked.name[:60]}” are of other models or "
                "other pairs, so they do not compare."
            )


def _name(one: Curve) -> str:
    signed = ", signed" if one.by == "signed" else ""
    return escape(" ".join(one.ranked.name.split())) + signed


def _told(one: Curve, i: int) -> str:
    return (
        f"<b>{_name(one)}</b><br>{one.sizes[i]:,} of {one.n_members:,} {one.ranked.level} "
        f"({one.shares[i]:.1%})<br>faithfulness {one.faithfulness[i]:.3f} ± {one.spread[i]:.3f} "
        f"over {len(one.pairs)} pairs"
    )


def _curve(figure: go.Figure, one: Curve, colour: str) -> None:
    each = range(len(one.shares))
    drawn = line(
        one.shares,
        one.faithfulness.tolist(),
        [_told(one, i) for i in each],
        line={"color": colour, "width": 2},
        connectgaps=False,
        name=_name(one),
    )
    figure.add_scatter(**drawn)


def _point(figure: go.Figure, one: Curve, colour: str, symbol: str) -> None:
    known = bool(np.isfinite(one.faithfulness[0])) and one.shares[0] > 0
    figure.add_scatter(
        x=[one.shares[0]] if known else [None],
        y=[float(one.faithfulness[0])] if known else [None],
        mode="markers",
        marker={"color": colour, "size": 13, "symbol": symbol},
        customdata=[_told(one, 0)],
        hovertemplate=TOLD,
        name=_name(one),
    )


def _band(figure: go.Figure, one: Curve) -> None:
    """All random rankings: from least to greatest, and their mean."""
    f = one.control_faithfulness
    there = [np.isfinite(f[:, i]).any() and share > 0 for i, share in enumerate(one.shares)]
    known = list(range((*there, False).index(False)))  # as far as it is without a gap
    if not known:
        return
    least, greatest, mean = (
        [float(of(f[:, i])) for i in known] for of in (np.nanmin, np.nanmax, np.nanmean)
    )
    x, colour, n = [one.shares[i] for i in known], PALETTE["control"], len(f)
    told = [
        f"{n} random rankings, {one.sizes[i]:,} {one.ranked.level}<br>faithfulness {m:.3f} on "
        f"average, {a:.3f} to {b:.3f}"
        for i, m, a, b in zip(known, mean, least, greatest, strict=True)
    ]
    if one.is_point:
        figure.add_scatter(
            x=[x[0]] * n, y=f[:, 0].tolist(), mode="markers", customdata=told * n,
            marker={"color": colour, "size": 8, "opacity": 0.65}, hovertemplate=TOLD,
            name=f"{n} random circuits as large",
        )  # fmt: skip
        return
    edge = {"mode": "lines", "line": {"width": 0, "color": colour}, "hoverinfo": "skip"}
    figure.add_scatter(x=x, y=least, showlegend=False, legendgroup="random", **edge)
    figure.add_scatter(
        x=x, y=greatest, fill="tonexty", fillcolor=PALETTE["gone"], showlegend=False,
        legendgroup="random", **edge,
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=mean, mode="lines", line={"color": colour, "width": 1.5, "dash": "dash"},
        customdata=told, hovertemplate=TOLD, legendgroup="random", name=f"{n} random rankings",
    )  # fmt: skip
