"""A circuit's evaluation as plotly figures: its scores over those of its controls, its members."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import EngineError
from ..experiment.sites import Head
from ..showing.palette import PALETTE
from ..tasks.results import PairScores
from .results import Evaluation

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_MEMBERS = 60
"""Members drawn as bars: those that add or spoil most."""
_GOLDEN = 0.6180339887498949


def draw_evaluation(evaluation: Evaluation) -> go.Figure:
    """The score of the circuit alone, and of the model without it, over those of its controls.

    The axis is the mean logit difference, positive is right. Dots are controls, one each, spread
    up and down so that all are seen; lines stand at the clean score and where nothing is kept.
    """
    import plotly.graph_objects as go

    e = evaluation
    figure = go.Figure()
    rows = {"kept": 1.0, "removed": 0.0}
    if e.controls is not None:
        for name, y in rows.items():
            scores = getattr(e.controls, name)
            lift = (np.arange(1, len(scores) + 1) * _GOLDEN % 1 - 0.5) * 0.44
            figure.add_scatter(
                x=scores.tolist(),
                y=(y + lift).tolist(),
                mode="markers",
                marker={"color": PALETTE["control"], "size": 8, "opacity": 0.65},
                customdata=[
                    f"control {i}, {name}<br>{_score(e, score)}"
                    for i, score in enumerate(scores.tolist())
                ],
                hovertemplate="%{customdata}<extra></extra>",
                name=f"{len(scores)} random controls, seed {e.controls.seed}",
                legendgroup="controls",
                showlegend=name == "kept",
            )
    own = {name: _mean(getattr(e, name)) for name in rows}
    figure.add_scatter(
        x=list(own.values()),
        y=list(rows.values()),
        mode="markers",
        marker={"color": PALETTE["circuit"], "size": 15, "symbol": "diamond"},
        customdata=[f"the circuit, {name}<br>{_score(e, score)}" for name, score in own.items()],
        hovertemplate="%{customdata}<extra></extra>",
        name="the circuit",
    )
    for name, words, colour in (
        ("clean", "clean", PALETTE["answer"]),
        ("empty", "nothing kept", PALETTE["control"]),
    ):
        at = _mean(getattr(e, name))
        figure.add_scatter(
            x=[at, at],
            y=[-0.45, 1.45],
            mode="lines",
            line={"color": colour, "width": 2, "dash": "solid" if name == "clean" else "dot"},
            customdata=[f"{words}<br>{_score(e, at)}"] * 2,
            hovertemplate="%{customdata}<extra></extra>",
            name=f"{words} {at:.2f}",
        )
    ends = [float(x) for trace in figure.data for x in trace.x]
    room = 0.04 * (max(ends) - min(ends)) or 1.0
    return figure.update_layout(
        width=820,
        height=300,
        margin={"l": 80, "r": 20, "t": 10, "b": 50},
        hovermode="closest",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis={
            "title": {"text": f"mean logit difference, {len(e.clean.logit_diff)} pairs"},
            "range": [min(ends) - room, max(ends) + room],
            "zeroline": True,
        },
        yaxis={
            "tickvals": list(rows.values()),
            "ticktext": ["only it", "without it"],
            "range": [-0.5, 1.5],
            "showgrid": False,
            "zeroline": False,
        },
    )


def draw_members(evaluation: Evaluation) -> go.Figure:
    """What each member adds to the circuit alone, as a share of the clean score; greatest first.

    Of more than MOST_MEMBERS those farthest from 0 are drawn.
    Raises: EngineError for an evaluation that left the members out.
    """
    import plotly.graph_objects as go

    e = evaluation
    if not e.members:
        raise EngineError("The members were not asked about one by one: evaluate with minimality.")
    adds = e.minimality
    most = np.argsort(-np.abs(adds), kind="stable")[:MOST_MEMBERS]
    order = [int(i) for i in sorted(most, key=lambda i: -adds[i])]
    names = [str(e.members[i]) for i in order]
    kinds = ["head" if isinstance(e.members[i], Head) else "mlp" for i in order]
    figure = go.Figure(
        go.Bar(
            x=list(range(len(order))),
            y=[float(adds[i]) for i in order],
            marker={"color": [PALETTE[kind] for kind in kinds]},
            customdata=[
                f"<b>{name}</b> removed too: {_score(e, float(e.without[i]))}<br>"
                f"it adds {float(adds[i]):+.1%} of the clean score"
                for i, name in zip(order, names, strict=True)
            ],
            hovertemplate="%{customdata}<extra></extra>",
            showlegend=False,
        )
    )
    for kind, name in (("head", "heads"), ("mlp", "MLPs")):
        figure.add_bar(x=[None], y=[None], marker={"color": PALETTE[kind]}, name=name)
    left = len(e.members) - len(order)
    axis: dict[str, Any] = {
        "tickvals": list(range(len(order))),
        "ticktext": names,
        "tickangle": -60,
        "range": [-0.7, max(len(order), 8) - 0.3],
    }
    if left:
        axis["title"] = {"text": f"the {len(order)} of {len(e.members)} farthest from 0"}
    return figure.update_layout(
        width=max(420, min(1100, 26 * len(order) + 130)),
        height=290,
        margin={"l": 70, "r": 20, "t": 10, "b": 70},
        bargap=0.25,
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False},
        xaxis=axis,
        yaxis={
            "title": {"text": "adds, share of clean"},
            "tickformat": ".0%",
            "zeroline": True,
        },
    )


def _score(e: Evaluation, score: float) -> str:
    return f"{score:.3f}, {e.share(score):.1%} of clean"


def _mean(scores: PairScores) -> float:
    mean = scores.mean_logit_diff
    assert mean is not None  # an evaluation is only made where all pairs have one
    return mean
