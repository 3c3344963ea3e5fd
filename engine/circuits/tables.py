"""Circuits, their scores and overlaps as rows of plain values, as a CSV holds them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..experiment.sites import MLP, Head, Site, print_sites
from ..showing.site_grid import site_columns
from .circuit import Circuit
from .overlaps import Overlap
from .results import Evaluation

Rows = list[dict[str, object]]


def evaluation_table(evaluation: Evaluation) -> Rows:
    """One row a run: clean, the circuit kept and removed, nothing kept, the circuit without each
    member, each control kept and removed.

    `logit_diff`: mean over `n` pairs, positive is right, `std` its standard deviation over pairs;
    `share`: of the clean one, `share_std` its spread likewise. `sites`: what the run keeps or
    removes, empty for the whole model. `references`: how many prompts averages are over, `whose`
    they are.
    """
    e = evaluation
    rows: Rows = []

    def add(run: str, of: str, sites: Sequence[Site], score: float, std: float | None) -> None:
        controls = e.controls if of == "control" else None
        rows.append(
            {
                "run": run,
                "of": of,
                "sites": print_sites(sites),
                "logit_diff": score,
                "share": e.share(score),
                "std": "" if std is None else std,
                "share_std": "" if std is None else e.share(std),
                "n": len(e.clean.logit_diff),
                "method": str(e.circuit.method),
                "references": len(e.references),
                "whose": e.whose,
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
        add("kept", f"circuit without {member}", [s for s in own if s != member], score, None)
    if e.controls is not None:
        for run in ("kept", "removed"):
            stds = getattr(e.controls, f"{run}_std")
            for i, sites in enumerate(e.controls.sites):
                std = None if stds is None else float(stds[i])
                add(run, "control", sites, float(getattr(e.controls, run)[i]), std)
    return rows


def member_table(evaluation: Evaluation) -> Rows:
    """One row a member, those that add most first: the score of the circuit alone without it, and
    what it adds, as a share of the clean score, with its standard deviation over the `n` pairs."""
    adds, stds = evaluation.minimality, evaluation.adds_std
    return [
        {
            "site": str(evaluation.members[i]),
            "without_it": float(evaluation.without[i]),
            "adds": float(adds[i]),
            "adds_std": "" if stds is None else float(stds[i]),
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
            **site_columns(site),
            "circuits": len(kept[site]),
            "kept_by": "; ".join(kept[site]),
        }
        for site in ordered
    ]
