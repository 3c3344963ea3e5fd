"""Circuits, their scores and overlaps as rows of plain values, as a CSV holds them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..experiment.sites import MLP, Head, Site, print_sites
from .circuit import Circuit
from .overlaps import Overlap
from .results import Evaluation

Rows = list[dict[str, object]]


def evaluation_table(evaluation: Evaluation) -> Rows:
    """One row a run: clean, the circuit kept and removed, nothing kept, the circuit without each
    member, each control kept and removed.

    `logit_diff`: mean over `n` pairs, positive is right; `share`: of the clean one. `std`: over
    pairs, where it is known. `sites`: what the run keeps or removes, empty for the whole model.
    """
    e = evaluation
    rows: Rows = []

    def add(run: str, of: str, sites: Sequence[Site], score: float, std: object = "") -> None:
        controls = e.controls if of == "control" else None
        rows.append(
            {
                "run": run,
                "of": of,
                "sites": print_sites(sites),
                "logit_diff": score,
                "share": e.share(score),
                "std": std,
                "n": len(e.clean.logit_diff),
                "method": str(e.circuit.method),
                "seed": "" if controls is None else controls.seed,
                "layer_matched": "" if controls is None else controls.layer_matched,
            }
        )

    own = e.circuit.sites
    for run, of, sites in (
        ("clean", "model", ()),
        ("kept", "circuit", own),
        ("removed", "circuit", own),
        ("empty", "model", ()),
    ):
        diffs = getattr(e, run).logit_diff
        add(run, of, sites, float(diffs.mean()), float(diffs.std()))
    for member, score in zip(e.members, e.without.tolist(), strict=True):
        add("kept", f"circuit without {member}", [s for s in own if s != member], score)
    if e.controls is not None:
        for run in ("kept", "removed"):
            for sites, score in zip(e.controls.sites, getattr(e.controls, run), strict=True):
                add(run, "control", sites, float(score))
    return rows


def member_table(evaluation: Evaluation) -> Rows:
    """One row a member, those that add most first: the score of the circuit alone without it, and
    what it adds, as a share of the clean score."""
    adds = evaluation.minimality
    return [
        {
            "site": str(evaluation.members[i]),
            "without_it": float(evaluation.without[i]),
            "adds": float(adds[i]),
            "n": len(evaluation.clean.logit_diff),
        }
        for i in np.argsort(-adds, kind="stable")
    ]


def overlap_table(found: Sequence[Overlap]) -> Rows:
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
        for one in found
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
            "site": str(site),
            "kind": "head" if isinstance(site, Head) else "mlp",
            "layer": site.layer,
            "head": site.head if isinstance(site, Head) else "",
            "circuits": len(kept[site]),
            "kept_by": "; ".join(kept[site]),
        }
        for site in ordered
    ]
