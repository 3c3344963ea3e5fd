"""Direct effects along paths as rows of plain values, as a CSV holds them."""

from __future__ import annotations

import numpy as np

from .edges import EdgeCircuit
from .receivers import print_receivers
from .results import PathPatch

Rows = list[dict[str, object]]


def edge_table(found: EdgeCircuit) -> Rows:
    """One row an edge: from where, into which inputs, the change of the logit difference when it is
    patched, and that as a share of the clean one."""
    return [
        {
            "sender": str(edge.sender),
            "receiver": print_receivers(edge.receivers),
            "effect": edge.effect,
            "share": edge.share,
            "threshold": found.threshold,
        }
        for edge in found.edges
    ]


def path_table(found: PathPatch) -> Rows:
    """One row a sender, the largest effects first: the change of the logit difference when its path
    to the receivers is patched, mean and spread over pairs; those without a path are left out."""
    change = found.logit_diff - found.clean[:, None]
    order = np.argsort(-np.abs(np.nan_to_num(found.effect)), kind="stable")
    return [
        {
            "sender": str(found.senders[i]),
            "receivers": print_receivers(found.receivers),
            "effect": float(found.effect[i]),
            "std": float(change[:, i].std()),
            "clean": float(found.clean.mean()),
            "n": len(found.clean),
        }
        for i in order
        if np.isfinite(found.effect[i])
    ]
