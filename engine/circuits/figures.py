"""Circuits as plotly figures: one, two beside each other, many counted, and how much they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ..errors import EngineError
from ..experiment.sites import Head, Site
from ..showing.palette import COUNTED, MORE, PALETTE
from ..showing.site_grid import SiteGrid, cell_heatmap, cells, grid_layout, placed
from ..showing.writing import visible
from .circuit import Circuit, check_same_shape
from .overlaps import Overlap

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MOST_NAME = 32


def draw_circuit(circuit: Circuit) -> go.Figure:
    """Layers down, heads across, the MLPs at the right; what the circuit keeps is filled."""
    kept = {*circuit.heads, *circuit.mlps}
    groups: dict[str, tuple[str, Sequence[Site]]] = {
        f"{_count(len(circuit.heads), 'head')} kept": (PALETTE["head"], circuit.heads),
        f"{_count(len(circuit.mlps), 'MLP')} kept": (PALETTE["mlp"], circuit.mlps),
    }
    rest = " (not asked about)" if circuit.all_mlps else ""
    told = {
        site: f"<b>{site}</b> "
        + (f"kept{'' if isinstance(site, Head) else rest}" if site in kept else "ablated")
        for site in cells(circuit)
    }
    return _filled(circuit, groups, told)


def draw_overlap(result: Overlap) -> go.Figure:
    """The sites that only the first circuit keeps, only the second, and both.

    Where only heads are compared the MLPs are left blank.
    """
    names = {
        "only_a": f"only “{_name(result.a)}”: {len(result.only_a)}",
        "only_b": f"only “{_name(result.b)}”: {len(result.only_b)}",
        "shared": f"both: {len(result.shared)}",
    }
    told: dict[Site, str] = {
        site: f"<b>{site}</b> in neither"
        for site in cells(result.a)
        if isinstance(site, Head) or not (result.a.all_mlps or result.b.all_mlps)
    }
    groups: dict[str, tuple[str, Sequence[Site]]] = {}
    for part, name in names.items():
        sites = getattr(result, part)
        groups[name] = (PALETTE[part], sites)
        told |= {site: f"<b>{site}</b> in {name.rpartition(':')[0]}" for site in sites}
    return _filled(result.a, groups, told)


def draw_counts(circuits: Sequence[Circuit]) -> go.Figure:
    """By how many of several circuits each head and MLP is kept, with their names at the pointer.

    Raises: EngineError without circuits, or for circuits of models of other shapes.
    """
    if not circuits:
        raise EngineError("There are no circuits to be counted.")
    first = circuits[0]
    for other in circuits[1:]:
        check_same_shape(first, other)
    by = {site: [c for c in circuits if site in (*c.heads, *c.mlps)] for site in cells(first)}
    told = {
        site: "<br>".join(
            (f"<b>{site}</b> kept by {len(some)} of {len(circuits)}", *map(_name, some))
        )
        for site, some in by.items()
    }
    counts = {site: float(len(some)) for site, some in by.items()}
    return SiteGrid.of(first, counts, "circuits that keep it").figure(
        told, COUNTED, float(len(circuits)), dtick=max(1, len(circuits) // 6)
    )


def draw_overlaps(result: Sequence[Overlap]) -> go.Figure:
    """The Jaccard index of every two circuits, with its chance level below it.

    `result`: from `overlaps`. Raises: EngineError without any.
    """
    import plotly.graph_objects as go

    if not result:
        raise EngineError("There are no overlaps to be drawn: compare two circuits or more.")
    n = round((1 + (1 + 8 * len(result)) ** 0.5) / 2)
    names = [_name(result[0].a), *(_name(one.b) for one in result[: n - 1])]
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    values = np.full((n, n), np.nan)
    texts, told = (np.full((n, n), "", dtype=object) for _ in range(2))
    for (i, j), one in zip(pairs, result, strict=True):
        values[j, i] = one.jaccard
        texts[j, i] = f"<b>{one.jaccard:.2f}</b><br>chance {one.chance:.2f}"
        told[j, i] = (
            f"{names[i]}<br>{names[j]}<br>{len(one.shared)} shared, {len(one.only_a)} and "
            f"{len(one.only_b)} not<br>Jaccard {one.jaccard:.3f}, chance {one.chance:.3f}"
        )
    figure = go.Figure(
        go.Heatmap(
            z=values[1:, :-1],
            x=list(range(n - 1)),
            y=list(range(n - 1)),
            text=texts[1:, :-1],
            texttemplate="%{text}",
            customdata=told[1:, :-1],
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            colorscale=MORE,
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=2,
            colorbar={"title": {"text": "Jaccard index", "side": "right"}, "thickness": 12},
        )
    )
    room = 12 + int(6.6 * max(map(len, names)))
    bare = {"ticklen": 0, "showgrid": False, "zeroline": False}
    marks = list(range(n - 1))
    return figure.update_layout(
        autosize=False,
        width=room + 100 * (n - 1) + 100,
        height=58 * (n - 1) + 40 + int(room * 0.6),
        margin={"l": room, "r": 100, "t": 10, "b": 30 + int(room * 0.6)},
        xaxis={"tickvals": marks, "ticktext": names[:-1], "tickangle": -35, **bare},
        yaxis={"tickvals": marks, "ticktext": names[1:], "autorange": "reversed", **bare},
    )


def _filled(
    circuit: Circuit,
    groups: Mapping[str, tuple[str, Sequence[Site]]],
    told: Mapping[Site, str],
) -> go.Figure:
    """A grid of such a model whose groups, by name, are filled in a colour each."""
    import plotly.graph_objects as go

    n_layers, n_heads = circuit.n_layers, circuit.n_heads
    kinds = dict.fromkeys(told, 0.0)
    for i, (_, sites) in enumerate(groups.values(), 1):
        kinds |= dict.fromkeys(sites, float(i))
    values = SiteGrid.of(circuit, kinds, "kind").drawn
    colours = [PALETTE["rest"], *(colour for colour, _ in groups.values())]
    steps = [
        (edge / len(colours), colour) for i, colour in enumerate(colours) for edge in (i, i + 1)
    ]
    figure = go.Figure(
        cell_heatmap(
            values,
            placed(told, values.shape),
            colorscale=steps,
            zmin=-0.5,
            zmax=len(groups) + 0.5,
            showscale=False,
        )
    )
    for name, (colour, _) in groups.items():
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            marker={"symbol": "square", "size": 12, "color": colour},
            name=name,
        )
    layout = grid_layout(n_layers, n_heads, top=20 * len(groups) + 10)
    layout["width"] = max(layout["width"], 110 + int(6.6 * max(map(len, groups))))
    return figure.update_layout(
        **layout, legend={"x": 0, "y": 1.0, "yanchor": "bottom", "itemclick": False}
    )


def _name(circuit: Circuit) -> str:
    name = visible(circuit.name).replace("␣", " ")
    return escape(name if len(name) <= _MOST_NAME else f"{name[: _MOST_NAME - 1]}…")


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
