"""A circuit's evaluation as plotly figures: its scores over those of its controls, its members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..experiment.sites import Head, Site
from ..showing.charts import TOLD, chart_layout
from ..showing.palette import PALETTE
from .controls import Controls

if TYPE_CHECKING:
    import plotly.graph_objects as go

_GOLDEN = 0.6180339887498949


def scores_figure(scores: Mapping[str, float], controls: Controls | None, n: int) -> go.Figure:
    """A circuit's `scores` kept and removed over those of its controls, with lines at the clean one
    and the empty one: mean logit differences over `n` pairs, positive is right."""
    import plotly.graph_objects as go

    clean = scores["clean"]
    figure = go.Figure()
    rows = {"kept": 1.0, "removed": 0.0}
    if controls is not None:
        for name, y in rows.items():
            some = getattr(controls, name)
            lift = (np.arange(1, len(some) + 1) * _GOLDEN % 1 - 0.5) * 0.44
            figure.add_scatter(
                x=some.tolist(),
                y=(y + lift).tolist(),
                mode="markers",
                marker={"color": PALETTE["control"], "size": 8, "opacity": 0.65},
                customdata=[
                    f"control {i}, {name}<br>{_score(score, clean)}"
                    for i, score in enumerate(some.tolist())
                ],
                hovertemplate=TOLD,
                name=f"{len(some)} random controls, seed {controls.seed}",
                legendgroup="controls",
                showlegend=name == "kept",
            )
    own = {name: scores[name] for name in rows}
    figure.add_scatter(
        x=list(own.values()),
        y=list(rows.values()),
        mode="markers",
        marker={"color": PALETTE["circuit"], "size": 15, "symbol": "diamond"},
        customdata=[
            f"the circuit, {name}<br>{_score(score, clean)}" for name, score in own.items()
        ],
        hovertemplate=TOLD,
        name="the circuit",
    )
    for name, words, colour in (
        ("clean", "clean", PALETTE["answer"]),
        ("empty", "nothing kept", PALETTE["control"]),
    ):
        at = scores[name]
        figure.add_scatter(
            x=[at, at],
            y=[-0.45, 1.45],
            mode="lines",
            line={"color": colour, "width": 2, "dash": "solid" if name == "clean" else "dot"},
            customdata=[f"{words}<br>{_score(at, clean)}"] * 2,
            hovertemplate=TOLD,
            name=f"{words} {at:.2f}",
        )
    ends = [float(x) for trace in figure.data for x in trace.x]
    room = 0.04 * (max(ends) - min(ends)) or 1.0
    return figure.update_layout(
        **chart_layout(820, 300, left=80, hovermode="closest"),
        xaxis={
            "title": {"text": f"mean logit difference, {n} pairs"},
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


def members_figure(
    members: Sequence[Site], adds: np.ndarray, without: np.ndarray, clean: float, most: int
) -> go.Figure:
    """What each member adds, as a share of the `clean` score, greatest first; of more than `most`
    those farthest from 0. `without`: the score of the circuit alone without it."""
    import plotly.graph_objects as go

    farthest = np.argsort(-np.abs(adds), kind="stable")[:most]
    order = [int(i) for i in sorted(farthest, key=lambda i: -adds[i])]
    names = [str(members[i]) for i in order]
    kinds = ["head" if isinstance(members[i], Head) else "mlp" for i in order]
    figure = go.Figure(
        go.Bar(
            x=list(range(len(order))),
            y=[float(adds[i]) for i in order],
            marker={"color": [PALETTE[kind] for kind in kinds]},
            customdata=[
                f"<b>{name}</b> removed too: {_score(float(without[i]), clean)}<br>"
                f"it adds {float(adds[i]):+.1%} of the clean score"
                for i, name in zip(order, names, strict=True)
            ],
            hovertemplate=TOLD,
            showlegend=False,
        )
    )
    for kind, name in (("head", "heads"), ("mlp", "MLPs")):
        figure.add_bar(x=[None], y=[None], marker={"color": PALETTE[kind]}, name=name)
    left = len(members) - len(order)
    axis: dict[str, Any] = {
        "tickvals": list(range(len(order))),
        "ticktext": names,
        "tickangle": -60,
        "range": [-0.7, max(len(order), 8) - 0.3],
    }
    if left:
        axis["title"] = {"text": f"the {len(order)} of {len(members)} farthest from 0"}
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


def _score(score: float, clean: float) -> str:
    return f"{score:.3f}, {score / clean:.1%} of clean"
