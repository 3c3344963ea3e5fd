"""How much two circuits share, and how much two random ones of their sizes would.

The Jaccard index is |A ∩ B| / |A ∪ B|, from 0 (nothing shared) to 1 (the same). Its chance level is
its exact expectation where the overlap of two random sets is hypergeometric: as many heads and as
many MLPs as each circuit has, drawn among all of the model, or as many heads in each layer. What it
does not show: whether what is shared does the same in both tasks.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import EngineError
from ..experiment.sites import MLP, Head, Site, print_sites
from ..showing.palette import COUNTED
from ..showing.site_grid import SiteGrid, cells, site_columns
from ..showing.writing import Rows
from .circuit import Circuit, check_same_shape
from .figures import filled_figure, matrix_figure, short_name

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Overlap:
    """Two circuits beside each other.

    `shared`, `only_a`, `only_b`: sites, heads before MLPs. `jaccard`: 0 to 1. `chance`: what
    two random circuits of these sizes have on average, `layer_matched` where each has as many heads
    in each layer. `share_of_smaller`: how much of the smaller circuit is shared, 0 to 1. `notes`:
    sentences.
    """

    a: Circuit
    b: Circuit
    shared: tuple[Site, ...]
    only_a: tuple[Site, ...]
    only_b: tuple[Site, ...]
    jaccard: float
    chance: float
    share_of_smaller: float
    layer_matched: bool
    notes: tuple[str, ...] = ()

    def figure(self) -> go.Figure:
        """The sites that only the first circuit keeps, only the second, and both.

        Where only heads are compared the MLPs are left blank.
        """
        names = {
            "only_a": f"only “{short_name(self.a.name)}”",
            "only_b": f"only “{short_name(self.b.name)}”",
            "shared": "both",
        }
        shown: dict[Site, str] = {
            site: f"<b>{site}</b> in neither"
            for site in cells(self.a)
            if isinstance(site, Head) or not (self.a.all_mlps or self.b.all_mlps)
        }
        groups: dict[str, tuple[str, Sequence[Site]]] = {}
        for part, name in names.items():
            sites = getattr(self, part)
            groups[f"{name}: {len(sites)}"] = (part, sites)
            shown |= {site: f"<b>{site}</b> in {name}" for site in sites}
        return filled_figure(self.a, groups, shown)

    def table(self) -> Rows:
        """One row: sizes, what the two share, Jaccard index and chance level."""
        return [
            {
                "a": self.a.name,
                "b": self.b.name,
                "in_a": len(self.shared) + len(self.only_a),
                "in_b": len(self.shared) + len(self.only_b),
                "shared": len(self.shared),
                "jaccard": self.jaccard,
                "chance": self.chance,
                "layer_matched": self.layer_matched,
                "share_of_smaller": self.share_of_smaller,
                "sites_shared": print_sites(self.shared),
                "sites_only_a": print_sites(self.only_a),
                "sites_only_b": print_sites(self.only_b),
            }
        ]


@dataclass(frozen=True)
class Overlaps:
    """Several circuits, every two of them compared.

    `pairs`: the first with each of the others, then the second with those after it, and so on; what
    it is iterated over.
    """

    circuits: tuple[Circuit, ...]
    pairs: tuple[Overlap, ...]

    def __iter__(self) -> Iterator[Overlap]:
        return iter(self.pairs)

    @property
    def kept_by(self) -> dict[Site, list[Circuit]]:
        """Which of the circuits keep each head, then each MLP, that any keeps."""
        kept: dict[Site, list[Circuit]] = {}
        for circuit in self.circuits:
            members: tuple[Site, ...] = (*circuit.heads, *circuit.mlps)
            for site in members:
                kept.setdefault(site, []).append(circuit)
        return {site: kept[site] for site in _ordered({*kept})}

    def figure(self) -> go.Figure:
        """The Jaccard index of every two circuits, with its chance level below it."""
        names, n = [short_name(c.name) for c in self.circuits], len(self.circuits)
        values = np.full((n, n), np.nan)
        texts, hover = (np.full((n, n), "", dtype=object) for _ in range(2))
        for (i, j), one in zip(itertools.combinations(range(n), 2), self.pairs, strict=True):
            values[j, i] = one.jaccard
            texts[j, i] = f"<b>{one.jaccard:.2f}</b><br>chance {one.chance:.2f}"
            hover[j, i] = (
                f"{names[i]}<br>{names[j]}<br>{len(one.shared)} shared, {len(one.only_a)} and "
                f"{len(one.only_b)} not<br>Jaccard {one.jaccard:.3f}, chance {one.chance:.3f}"
            )
        return matrix_figure(names, values, texts, hover, "Jaccard index")

    def table(self) -> Rows:
        """One row for every two: sizes, what they share, Jaccard index and chance level."""
        return [row for one in self.pairs for row in one.table()]

    def sites_figure(self) -> go.Figure:
        """By how many circuits each head and MLP is kept, with their names at the pointer."""
        model, n, kept_by = self.circuits[0], len(self.circuits), self.kept_by
        by = {site: kept_by.get(site, []) for site in cells(model)}
        sentence = {
            site: "<br>".join(
                (f"<b>{site}</b> kept by {len(some)} of {n}", *(short_name(c.name) for c in some))
            )
            for site, some in by.items()
        }
        counts = {site: float(len(some)) for site, some in by.items()}
        grid = SiteGrid.of(model, counts, "circuits that keep it", scale=COUNTED, most=float(n))
        return grid.figure(sentence, dtick=max(1, n // 6))

    def sites_table(self) -> Rows:
        """One row for each site that a circuit keeps: by how many, and by which."""
        return [
            {
                **site_columns(site),
                "circuits": len(some),
                "kept_by": "; ".join(c.name for c in some),
            }
            for site, some in self.kept_by.items()
        ]


def overlap(a: Circuit, b: Circuit, layer_matched: bool = False) -> Overlap:
    """Compare two circuits of one model, or of two models of one shape.

    Where either keeps all MLPs without having asked about them, only heads are compared.
    Raises: EngineError for circuits of models of other shapes, naming both.
    """
    check_same_shape(a, b)
    heads_only = a.all_mlps or b.all_mlps
    sites_a, sites_b = (set(c.heads if heads_only else c.sites) for c in (a, b))
    shared = sites_a & sites_b
    smaller = min(len(sites_a), len(sites_b))
    notes = []
    if heads_only and not (a.all_mlps and b.all_mlps):
        notes.append("One of the two keeps all MLPs without having asked: only heads are compared.")
    if a.model != b.model:
        notes.append(f"The circuits are of two models, {a.model} and {b.model}, of one shape.")
    return Overlap(
        a=a,
        b=b,
        shared=_ordered(shared),
        only_a=_ordered(sites_a - shared),
        only_b=_ordered(sites_b - shared),
        jaccard=_jaccard(len(shared), len(sites_a) + len(sites_b)),
        chance=_chance(a, sites_a, sites_b, layer_matched),
        share_of_smaller=len(shared) / smaller if smaller else 1.0,
        layer_matched=layer_matched,
        notes=tuple(notes),
    )


def overlaps(circuits: Sequence[Circuit], layer_matched: bool = False) -> Overlaps:
    """Compare every two of several circuits.

    Raises: EngineError for fewer than two, or for circuits of models of other shapes.
    """
    if len(circuits) < 2:
        raise EngineError("It takes two circuits to compare: choose another.")
    two = itertools.combinations(circuits, 2)
    return Overlaps(tuple(circuits), tuple(overlap(a, b, layer_matched) for a, b in two))


def _jaccard(shared: int, sizes: int) -> float:
    return shared / (sizes - shared) if sizes else 1.0


def _chance(shape: Circuit, a: set[Site], b: set[Site], layer_matched: bool) -> float:
    """E[K / (|A| + |B| − K)] over the number K of shared sites."""
    n_mlps = shape.n_layers - len(shape.without_mlp)
    with_heads = [i for i in range(shape.n_layers) if i not in shape.without_heads]
    pools = [(n_mlps, *(sum(isinstance(s, MLP) for s in some) for some in (a, b)))]
    layers = [Counter(s.layer for s in some if isinstance(s, Head)) for some in (a, b)]
    if layer_matched:
        pools += [(shape.n_heads, layers[0][i], layers[1][i]) for i in with_heads]
    else:
        n_heads = len(with_heads) * shape.n_heads
        pools.append((n_heads, layers[0].total(), layers[1].total()))
    odds = [1.0]
    for pool in pools:
        own = _hypergeometric(*pool)
        summed = [0.0] * (len(odds) + len(own) - 1)
        for i, p in enumerate(odds):
            for k, q in enumerate(own):
                summed[i + k] += p * q
        odds = summed
    return math.fsum(p * _jaccard(k, len(a) + len(b)) for k, p in enumerate(odds))


def _hypergeometric(n: int, a: int, b: int) -> list[float]:
    """The odds that k of b sites drawn among n are among a marked ones, for k from 0."""
    ways = math.comb(n, b)
    return [
        math.comb(a, k) * math.comb(n - a, b - k) / ways if b - k <= n - a else 0.0
        for k in range(min(a, b) + 1)
    ]


def _ordered(sites: set[Site]) -> tuple[Site, ...]:
    return (
        *sorted(s for s in sites if isinstance(s, Head)),
        *sorted(s for s in sites if isinstance(s, MLP)),
    )
