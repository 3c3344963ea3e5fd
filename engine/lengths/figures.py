"""Scores by length as a plotly figure: a line for each run, over the number of terms shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ..scoring.metrics import METRIC_NAMES
from ..showing.charts import chart_layout, line
from ..showing.palette import PALETTE
from ..showing.writing import visible
from ..tasks.pairs import Pair

if TYPE_CHECKING:
    import plotly.graph_objects as go

_DASHES = {"clean": "solid", "ablated": "dash"}
_SYMBOLS = {"clean": "circle", "ablated": "diamond"}
_BESIDE = {"clean": -0.03, "ablated": 0.03}
"""How far lines with bars stand from their length, so that one bar does not hide the other."""

Numbers = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of one run, by length: mean, standard deviation, how many prompts."""


def lengths_figure(
    lengths: Sequence[int],
    metric: str,
    runs: Mapping[str, Numbers],
    shown: Sequence[Pair] | None,
) -> go.Figure:
    """`runs` by name; `shown`: what is asked at each length where it is of one prompt, else None,
    and bars then show the standard deviation."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for name, (mean, std, n) in runs.items():
        at = [i for i in range(len(lengths)) if n[i]]
        x = [lengths[i] + (0 if shown else _BESIDE[name]) for i in at]
        y = [float(mean[i]) for i in at]
        hover = [_told(name, metric, lengths[i], mean[i], std[i], int(n[i]), shown, i) for i in at]
        look = {"color": PALETTE[name], "width": 2, "dash": _DASHES[name]}
        figure.add_scatter(
            **{
                **line(x, y, hover, line=look, name=name),
                "marker": {"size": 7, "symbol": _SYMBOLS[name], "color": PALETTE[name]},
                "error_y": {} if shown else _bars(metric, mean[at], std[at], PALETTE[name]),
            }
        )
    return figure.update_layout(
        **chart_layout(
            None, 400, showlegend=True, margin={"l": 60, "r": 10, "t": 10, "b": 70 if shown else 45}
        ),
        xaxis={
            "title": {
                "text": "terms shown → what comes next" if shown else "terms shown",
                "standoff": 12,
            },
            "range": [lengths[0] - 0.4, lengths[-1] + 0.4],
            **_ticks(lengths, shown),
        },
        yaxis={"title": {"text": METRIC_NAMES[metric]}, **_axis(metric, runs, bool(shown))},
    )


def _bars(metric: str, mean: np.ndarray, std: np.ndarray, colour: str) -> dict[str, Any]:
    """One standard deviation to each side; of a rank none below 1, of a probability within 0 and
    1, as no prompt's is outside."""
    least, most = {"rank": (1.0, np.inf), "prob": (0.0, 1.0)}.get(metric, (-np.inf, np.inf))
    return {
        "array": np.minimum(std, most - mean).tolist(),
        "arrayminus": np.minimum(std, mean - least).tolist(),
        "thickness": 1.5,
        "width": 5,
        "color": colour,
    }


def _axis(metric: str, runs: Mapping[str, Numbers], one: bool) -> dict[str, Any]:
    if metric == "rank":
        known = np.concatenate([mean + (0 if one else 1) * std for mean, std, _ in runs.values()])
        most = float(np.nanmax(known)) if np.isfinite(known).any() else 1.0
        return {
            "type": "log",
            "range": [np.log10(max(most, 9.0)) * 1.06, -0.04],
            "dtick": "D2" if most < 100 else 1,
        }
    if metric == "prob":
        return {"range": [-0.02, 1.02], "tickformat": ".0%"}
    return {"zeroline": True}


def _ticks(lengths: Sequence[int], shown: Sequence[Pair] | None) -> dict[str, Any]:
    """The lengths, with the answer at each where it is of one prompt and there is room."""
    if shown is None or len(lengths) > 12:
        return {"dtick": max(1, len(lengths) // 12)}
    names = [
        f"{n}<br>→ {escape(visible(pair.answer[:12]))}"
        for n, pair in zip(lengths, shown, strict=True)
    ]
    return {"tickvals": list(lengths), "ticktext": names}


def _told(
    run: str,
    metric: str,
    length: int,
    mean: float,
    std: float,
    n: int,
    shown: Sequence[Pair] | None,
    i: int,
) -> str:
    number = f"{METRIC_NAMES[metric]} {mean:,.4g}"
    if shown is None:
        return f"{length} shown, {run}, {n} prompts<br>mean {number} ± {std:,.3g}"
    pair = shown[i]
    against = f", distractor {escape(visible(pair.distractor))}" if pair.distractor else ""
    return (
        f"“{escape(visible(pair.prompt[-40:]).replace('␣', ' '))}”, {run}<br>"
        f"answer {escape(visible(pair.answer))}{against}<br>{number}"
    )
