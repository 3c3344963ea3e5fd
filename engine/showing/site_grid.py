"""The layers of a model down and its heads across with the MLPs beside them, as plotly axes."""

from __future__ import annotations

from typing import Any, Protocol

from ..experiment.sites import MLP, Head, Site


def cell(site: Site, n_heads: int) -> tuple[int, int]:
    """Row and column of a head or MLP; a column is left free between the heads and the MLPs."""
    return site.layer, site.head if isinstance(site, Head) else n_heads + 1


class Sided(Protocol):
    """What says how many layers and heads there are, and which layers lack them: a model's shape, a
    circuit."""

    @property
    def n_layers(self) -> int: ...
    @property
    def n_heads(self) -> int: ...
    @property
    def without_heads(self) -> tuple[int, ...]: ...
    @property
    def without_mlp(self) -> tuple[int, ...]: ...


def cells(of: Sided) -> list[Site]:
    """Every head and MLP there is, layer by layer."""
    found: list[Site] = []
    for layer in range(of.n_layers):
        if layer not in of.without_heads:
            found += [Head(layer, head) for head in range(of.n_heads)]
        if layer not in of.without_mlp:
            found.append(MLP(layer))
    return found


def grid_layout(n_layers: int, n_heads: int, right: int = 20, top: int = 10) -> dict[str, Any]:
    """The layout of such a grid, with so many pixels free at its right and on top."""
    size = max(14, min(30, 900 // (n_heads + 2)))
    ticks = [i for i in range(n_heads) if i % max(1, n_heads // 16) == 0]
    bare = {"ticklen": 0, "showgrid": False, "zeroline": False}
    return {
        "autosize": False,
        "width": size * (n_heads + 2) + 60 + right,
        "height": size * n_layers + 50 + top,
        "margin": {"l": 60, "r": right, "t": top, "b": 50},
        "hoverlabel": {"align": "left"},
        "xaxis": {
            "tickvals": [*ticks, n_heads + 1],
            "ticktext": [*map(str, ticks), "MLP"],
            "range": [-0.5, n_heads + 1.5],
            "title": {"text": "head", "standoff": 8},
            **bare,
        },
        "yaxis": {
            "range": [n_layers - 0.5, -0.5],
            "dtick": max(1, n_layers // 16),
            "title": {"text": "layer", "standoff": 6},
            **bare,
        },
    }
