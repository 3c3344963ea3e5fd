"""Direct effects as plotly figures: a circuit's edges by layer, and all senders on the grid.

In the diagram layers rise to the logits, each MLP at the right of its layer's heads and a little
above them, as it may read what they write. A line's width goes by the size of the effect, its
colour by the sign; it ends at the left of a head where it leads to queries alone, in the middle for
keys, at the right for values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..circuits.circuit import Circuit
from ..experiment.sites import Head, Site
from ..showing.palette import PALETTE, read_on
from .receivers import LOGITS, print_receivers, site_of
from .results import Edge

if TYPE_CHECKING:
    import plotly.graph_objects as go

_SIGNS = {"falls": (PALETTE["less"], "solid"), "rises": (PALETTE["more"], "dash")}
"""What the logit difference does where the path is patched: it falls where the path carries what
makes the answer right."""
_WIDEST, _THINNEST = 8.0, 0.75
_AWAY = {"q": -0.22, "k": 0.0, "v": 0.22}
_MLP_UP, _MLP_ASIDE = 0.45, 0.55
"""How far MLPs stand above their layer, and every other one to the right: or a line between two
would run through those between."""
_Places = dict[Site | None, tuple[float, float]]
"""Where each node stands; the logits are None."""


def edges_figure(
    circuit: Circuit, edges: Sequence[Edge], members: Sequence[Site], dropped: Sequence[Site]
) -> go.Figure:
    """The members by layer with the edges between them; those `dropped` are hollow."""
    import plotly.graph_objects as go

    places, levels = _placed(circuit, edges)
    figure = go.Figure()
    most = max((abs(edge.effect) for edge in edges), default=1.0) or 1.0
    groups: dict[tuple[str, float], list[Edge]] = {}
    for edge in edges:
        wide = _THINNEST + (_WIDEST - _THINNEST) * abs(edge.effect) / most
        sign = "falls" if edge.effect < 0 else "rises"
        groups.setdefault((sign, round(4 * wide) / 4), []).append(edge)
    for (sign, width), some in sorted(groups.items()):
        figure.add_scatter(**_lines(some, places), line=_line(sign, width))
    for sign in _SIGNS:
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="lines",
            line=_line(sign, 3),
            name=f"logit difference {sign} when patched",
        )
    for nodes in _nodes(edges, members, dropped, places):
        figure.add_scatter(**nodes)
    left, right = (f(x for x, _ in places.values()) for f in (min, max))
    bowed = 0.22 * len(levels)
    tall = max(46, min(84, 900 // len(levels)))
    return figure.update_layout(
        autosize=False,
        width=int(max(560, 64 * (right - left + 2 * bowed) + 120)),
        height=tall * len(levels) + 90,
        margin={"l": 60, "r": 20, "t": 40, "b": 20},
        hovermode="closest",
        hoverlabel={"align": "left"},
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "itemclick": False},
        xaxis={"visible": False, "range": [left - bowed - 0.4, right + bowed + 0.4]},
        yaxis={
            "tickvals": list(range(len(levels))),
            "ticktext": [*(f"layer {layer}" for layer in levels[:-1]), ""],
            "showgrid": True,
            "zeroline": False,
            "ticklen": 0,
            "range": [-0.5, len(levels) - 0.5],
        },
    )


def _placed(circuit: Circuit, edges: Sequence[Edge]) -> tuple[_Places, list[int]]:
    """Where the members and the logits stand, and the layers there are, with one above for the
    logits. Heads of a layer are ordered so that they stand below what they lead to."""
    levels = sorted({site.layer for site in circuit.sites})
    rows = [[s for s in circuit.heads if s.layer == layer] for layer in levels]
    widest = max((len(row) for row in rows), default=1)
    mlps_at = (widest - 1) / 2 + 1.1
    named = [mlp for mlp in circuit.mlps if mlp in circuit.sites]
    places: _Places = {None: (0.5 * mlps_at if named else 0.0, float(len(levels)))}
    for site in circuit.sites:
        places[site] = (0.0, float(levels.index(site.layer)))
    leads: dict[Site, list[tuple[Site | None, float]]] = {}
    for edge in edges:
        leads.setdefault(edge.sender, []).append((_end(edge), abs(edge.effect)))
    for mlp in named:
        aside = _MLP_ASIDE if levels.index(mlp.layer) % 2 else 0.0
        places[mlp] = (mlps_at + aside, places[mlp][1] + _MLP_UP)
    for y, row in reversed(list(enumerate(rows))):
        mean = {site: _mean_x(leads.get(site, ()), places) for site in row}
        row.sort(key=lambda site: (mean[site], site))
        for i, site in enumerate(row):
            lean = 0.25 if y % 2 else -0.25  # or heads of one place hide each other's lines
            places[site] = (i - (len(row) - 1) / 2 + lean, float(y))
    return places, [*levels, levels[-1] + 1 if levels else 0]


def _mean_x(leads: Sequence[tuple[Site | None, float]], places: _Places) -> float:
    total = sum(weight for _, weight in leads)
    return sum(places[end][0] * weight for end, weight in leads) / total if total else 0.0


def _line(sign: str, width: float) -> dict[str, Any]:
    colour, dash = _SIGNS[sign]
    return {"color": colour, "dash": dash, "width": width}


def _lines(edges: Sequence[Edge], places: _Places) -> dict[str, Any]:
    """The edges as one trace: curves with a gap after each, their numbers at every point."""
    x: list[float | None] = []
    y: list[float | None] = []
    hover: list[str] = []
    t = np.linspace(0, 1, 16)
    for edge in edges:
        (x0, y0), (x1, y1) = places[edge.sender], places[_end(edge)]
        if len(edge.receivers) == 1:
            x1 += _AWAY.get(edge.receivers[0].part, 0.0)
        rise = 0.45 * (y1 - y0)
        bow = 0.3 * max(0.0, y1 - y0 - 1.5) * (1 if x0 + x1 >= 0 else -1)
        curve = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3]
        for out, points in (
            (x, (x0, x0 + bow, x1 + bow, x1)),
            (y, (y0, y0 + rise, y1 - rise, y1)),
        ):
            out += [*sum(c * p for c, p in zip(curve, points, strict=True)), None]  # type: ignore[misc]
        hover += [_told(edge)] * (len(t) + 1)
    return {
        "x": [None if v is None else round(float(v), 4) for v in x],
        "y": [None if v is None else round(float(v), 4) for v in y],
        "mode": "lines",
        "customdata": hover,
        "hovertemplate": "%{customdata}<extra></extra>",
        "showlegend": False,
        "opacity": 0.75,
    }


def _nodes(
    edges: Sequence[Edge], members: Sequence[Site], dropped: Sequence[Site], places: _Places
) -> list[dict[str, Any]]:
    """Heads, MLPs, dropped members and the logits, a trace each."""
    groups: dict[str, list[Site | None]] = {
        "head": [s for s in members if isinstance(s, Head)],
        "mlp": [s for s in members if not isinstance(s, Head)],
        "dropped": list(dropped),
        "logits": [None],
    }
    looks: dict[str, dict[str, Any]] = {
        "head": {"symbol": "circle", "color": PALETTE["head"]},
        "mlp": {"symbol": "square", "color": PALETTE["mlp"]},
        "dropped": {
            "symbol": "circle",
            "color": PALETTE["paper"],
            "line": {"color": PALETTE["control"], "width": 1},
        },
        "logits": {"symbol": "square", "color": PALETTE["logits"]},
    }
    traces = []
    for group, sites in groups.items():
        if not sites:
            continue
        traces.append(
            {
                "x": [places[site][0] for site in sites],
                "y": [places[site][1] for site in sites],
                "mode": "markers+text",
                "marker": {"size": 30, "opacity": 1, **looks[group]},
                "text": ["logits" if site is None else str(site) for site in sites],
                "textfont": {"size": 10, "color": read_on(looks[group]["color"])},
                "customdata": [_told_of(site, edges, group) for site in sites],
                "hovertemplate": "%{customdata}<extra></extra>",
                "showlegend": False,
            }
        )
    return traces


def _told(edge: Edge) -> str:
    return (
        f"<b>{edge.sender} → {print_receivers(edge.receivers)}</b><br>{edge.effect:+.3f}, "
        f"{edge.share:+.1%} of the clean logit difference"
    )


def _told_of(site: Site | None, edges: Sequence[Edge], group: str) -> str:
    if group == "dropped":
        return f"<b>{site}</b> has no kept path to the logits"
    into = [edge for edge in edges if _end(edge) == site]
    out = [edge for edge in edges if edge.sender == site and site is not None]
    return f"<b>{site or 'logits'}</b><br>{len(into)} edges in, {len(out)} out"


def _end(edge: Edge) -> Site | None:
    """The member that an edge leads to; None for the logits."""
    return None if edge.receivers == (LOGITS,) else site_of(edge.receivers[0])
