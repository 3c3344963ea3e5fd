"""A number for every head and MLP of a model: one table, one tint, one figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from jaxtyping import Float

from ..experiment.sites import MLP, Head, HeadPart, Heads, Site, Stream
from .charts import BARE
from .heatmap import cell_heatmap, colour_bar, colours, signs
from .palette import PALETTE, Scale
from .writing import Rows

if TYPE_CHECKING:
    import plotly.graph_objects as go

_LEAST_ROWS = 6
"""Room for the legend, where a model has fewer layers."""


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
    result: list[Site] = []
    for layer in range(of.n_layers):
        if layer not in of.without_heads:
            result += [Head(layer, head) for head in range(of.n_heads)]
        if layer not in of.without_mlp:
            result.append(MLP(layer))
    return result


@dataclass(frozen=True)
class SiteGrid:
    """A number for each head [layer head_index] and each MLP [layer]; NaN where none is known, or
    where the model has no such site.

    `name`: what the number is, with its unit. `signed`: whether it lies on both sides of 0, which
    is then the middle of the colours. `less_is_better`: whether red, which is always the worse for
    the answer, is above 0 and blue below. `least_first`: whether the site with the least number is
    the one that matters most. `inexact`: the sites whose number is an estimate, or not yet over
    all prompts; they are hatched. `scale`: its colours, where they are not those by which signed
    and other numbers are drawn; `most`: the number at which they end, by itself the greatest there
    is; `zero`: the colour of what is exactly 0, where that stands apart.
    """

    heads: Float[np.ndarray, "layer head_index"]
    mlps: Float[np.ndarray, " layer"]
    name: str
    signed: bool = False
    less_is_better: bool = False
    least_first: bool = False
    inexact: frozenset[Site] = frozenset()
    scale: Scale | None = None
    most: float | None = None
    zero: str = ""

    @classmethod
    def of(cls, model: Sided, values: Mapping[Site, float], name: str, **look: Any) -> SiteGrid:
        """The grid of some sites' numbers; NaN for the others. `look`: further fields."""
        heads = np.full((model.n_layers, model.n_heads), np.nan)
        mlps = np.full(model.n_layers, np.nan)
        for site, value in values.items():
            if isinstance(site, Head):
                heads[site.layer, site.head] = value
            else:
                mlps[site.layer] = value
        return cls(heads, mlps, name, **look)

    def __getitem__(self, site: Site) -> float:
        """A head's or MLP's number."""
        if isinstance(site, Head):
            return float(self.heads[site.layer, site.head])
        return float(self.mlps[site.layer])

    @property
    def sites(self) -> list[Site]:
        """The heads and MLPs that have a number, layer by layer."""
        n_layers, n_heads = self.heads.shape
        every: list[Site] = []
        for layer in range(n_layers):
            every += [Head(layer, head) for head in range(n_heads)]
            every.append(MLP(layer))
        return [site for site in every if not np.isnan(self[site])]

    @property
    def orders(self) -> tuple[str, ...]:
        """Which numbers may come first when sites are ranked, the first of these by itself: by
        "size", of those "below" or "above" 0; or the "greatest", or the "least"."""
        if self.signed:
            return ("size", "below", "above")
        return ("least", "greatest") if self.least_first else ("greatest", "least")

    @property
    def drawn(self) -> Float[np.ndarray, "layer column"]:
        """The numbers as they are drawn: the heads, a gap, the MLP."""
        gap = np.full((len(self.mlps), 1), np.nan)
        return np.concatenate([self.heads, gap, self.mlps[:, None]], axis=1)

    def filled(self, other: SiteGrid) -> SiteGrid:
        """With the numbers of another grid where this one knows none; these are inexact."""
        heads = np.where(np.isnan(self.heads), other.heads, self.heads)
        mlps = np.where(np.isnan(self.mlps), other.mlps, self.mlps)
        guesses = self.inexact | set(other.sites).difference(self.sites)
        return replace(self, heads=heads, mlps=mlps, inexact=guesses)

    def tint(self) -> list[float | None]:
        """The numbers by which switches are tinted, layer by layer, the MLP last in each; None for
        NaN."""
        rows = np.concatenate([self.heads, self.mlps[:, None]], axis=1)
        return [None if np.isnan(value) else value for value in rows.ravel().tolist()]

    @property
    def colours(self) -> dict[str, Any]:
        """What a number's colour is, in the switches as in the figure: plotly's `colorscale`,
        `zmin` and `zmax`."""
        return colours(self.drawn, self.signed, self.less_is_better, self.scale, self.most)

    def table(self) -> Rows:
        """One row a site that has a number, layer by layer."""
        return [{**site_columns(site), self.name: self[site]} for site in self.sites]

    def figure(self, hover: Mapping[Site, str] | None = None, **bar: Any) -> go.Figure:
        """Layers down, heads across, the MLP of each layer at the right; NaN is blank.

        `hover`: what a pointer over a site reads, as plotly writes it; `bar`: of its legend.
        """
        import plotly.graph_objects as go

        if hover is None:
            hover = {s: f"<b>{s}</b> {escape(self.name)} {self[s]:.3f}" for s in self.sites}
        n_layers, n_heads = self.heads.shape
        values = self.drawn
        words = placed(hover, values.shape)
        apart = np.where((values == 0) & bool(self.zero), values, np.nan)
        values = np.where(np.isnan(apart), values, np.nan)
        heatmaps = [
            cell_heatmap(values, words, **self.colours, colorbar=colour_bar(self.name, **bar))
        ]
        if self.signed:
            heatmaps[0].update(text=signs(values, self.colours["zmax"]), texttemplate="%{text}")
        if self.zero:
            alone = {"colorscale": [(end, self.zero) for end in (0.0, 1.0)], "showscale": False}
            heatmaps.append(cell_heatmap(apart, words, zmin=0, zmax=1, **alone))
        rows = max(n_layers, _LEAST_ROWS)
        layout = grid_layout(n_layers, n_heads, right=130, rows=rows)
        if not self.inexact:
            return go.Figure(heatmaps, layout=layout)
        layout["xaxis"]["title"]["text"] = "head (hatched: an estimate)"
        return go.Figure([*heatmaps, _hatches(self.inexact, n_heads)], layout=layout)


def _hatches(sites: Iterable[Site], n_heads: int) -> go.Scatter:
    """A stroke over each of these cells."""
    import plotly.graph_objects as go

    rows, columns = zip(*(cell(site, n_heads) for site in sites), strict=True)
    marker = {
        "symbol": "line-ne-open",
        "size": 9,
        "line": {"width": 1.5},
        "color": PALETTE["frame"],
    }
    return go.Scatter(
        {"x": columns, "y": rows, "mode": "markers", "marker": marker, "hoverinfo": "skip"}
    )


def site_columns(site: Site) -> dict[str, object]:
    """How a table names a site."""
    match site:
        case Head():
            kind = "head"
        case HeadPart():
            kind = site.part
        case Stream():
            kind = "stream"
        case Heads():
            kind = "heads"
        case _:
            kind = "mlp"
    return {
        "site": str(site),
        "kind": kind,
        "layer": site.layer,
        "head": site.head if isinstance(site, Head | HeadPart) else "",
    }


def cell(site: Site, n_heads: int) -> tuple[int, int]:
    """Row and column of a head or MLP; a column is left free between the heads and the MLPs."""
    return site.layer, site.head if isinstance(site, Head) else n_heads + 1


def placed(hover: Mapping[Site, str], shape: tuple[int, ...]) -> np.ndarray:
    """What a pointer over each cell reads, empty where nothing is told."""
    words = np.full(shape, "", dtype=object)
    for site, text in hover.items():
        words[cell(site, shape[1] - 2)] = text
    return words


def grid_layout(
    n_layers: int, n_heads: int, right: int = 20, top: int = 10, rows: int | None = None
) -> dict[str, Any]:
    """The layout of such a grid, with so many pixels free at its right and on top, and room for
    that many `rows`."""
    rows = rows or n_layers
    size = max(14, min(30, 900 // (n_heads + 2)))
    ticks = [i for i in range(n_heads) if i % max(1, n_heads // 16) == 0]
    return {
        "autosize": False,
        "width": size * (n_heads + 2) + 60 + right,
        "meta": {"least": 12 * (n_heads + 2) + 60 + right},  # so narrow it can still be read
        "height": size * rows + 50 + top,
        "margin": {"l": 60, "r": right, "t": top, "b": 50},
        "hoverlabel": {"align": "left"},
        "xaxis": {
            "tickvals": [*ticks, n_heads + 1],
            "ticktext": [*map(str, ticks), "MLP"],
            "range": [-0.5, n_heads + 1.5],
            "title": {"text": "head", "standoff": 8},
            **BARE,
        },
        "yaxis": {
            "range": [rows - 0.5, -0.5],
            "tickvals": list(range(0, n_layers, max(1, n_layers // 16))),
            "title": {"text": "layer", "standoff": 6},
            **BARE,
        },
    }
