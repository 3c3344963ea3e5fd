"""Circuits, their scores and overlaps as rows of plain values, as a CSV holds them."""

from __future__ import annotations

from collections.abc import Sequence

from ..experiment.sites import MLP, Head, print_sites
from ..showing.site_grid import site_columns
from .circuit import Circuit
from .overlaps import Overlap

Rows = list[dict[str, object]]


def overlap_table(result: Sequence[Overlap]) -> Rows:
    """One row for every two circuits: sizes, what they share, Jaccard index and chance level."""
    return [
        {
            "a": one.a.name,
            "b": one.b.name,
            "in_a": len(one.shared) + len(one.only_a),
            "in_b": len(one.shared) + len(one.only_b),
            "shared": len(one.shared),
            "jaccard": one.jaccard,
            "chance": one.chance,
            "layer_matched": one.layer_matched,
            "share_of_smaller": one.share_of_smaller,
            "sites_shared": print_sites(one.shared),
            "sites_only_a": print_sites(one.only_a),
            "sites_only_b": print_sites(one.only_b),
        }
        for one in result
    ]


def circuit_table(circuits: Sequence[Circuit]) -> Rows:
    """One row for each site that a circuit keeps: by how many, and by which."""
    kept: dict[Head | MLP, list[str]] = {}
    for circuit in circuits:
        members: tuple[Head | MLP, ...] = (*circuit.heads, *circuit.mlps)
        for site in members:
            kept.setdefault(site, []).append(circuit.name)
    heads = sorted(site for site in kept if isinstance(site, Head))
    mlps = sorted(site for site in kept if isinstance(site, MLP))
    ordered: tuple[Head | MLP, ...] = (*heads, *mlps)
    return [
        {
            **site_columns(site),
            "circuits": len(kept[site]),
            "kept_by": "; ".join(kept[site]),
        }
        for site in ordered
    ]
