"""A circuit's edges: which direct paths between its members carry the task, from the logits back.

As in the path patching of Wang et al. 2022 (section 3): the paths into the logits that matter are
kept, then those into the members they come from, and so on; a member from which no kept path leads
on to the logits is dropped. The order is that of ACDC (Conmy et al. 2023), the test is not: each
path is judged by itself with all others whole, where ACDC judges it with those already gone. So
what it does not show: paths of which any one can be spared and not all, or that only count once
others are gone. Evaluate the members that are left.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..circuits.circuit import Circuit
from ..errors import ExperimentError, SiteError
from ..experiment.sites import Site
from ..showing.writing import Rows
from .figures import edges_figure
from .receivers import LOGITS, print_receivers, site_of
from .results import Edge, PathMatrix

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_NODES = 40
"""Members a circuit may have to be pruned edge by edge: a drawing of more is none."""


@dataclass(frozen=True)
class EdgeCircuit:
    """What is left: edges, those into the logits first and then from the last layers to the first.

    `members`: the sites with a kept path to the logits; `dropped`: those without. `threshold`: the
    share of the clean logit difference that an edge changes at least.
    """

    edges: tuple[Edge, ...]
    members: tuple[Site, ...]
    dropped: tuple[Site, ...]
    threshold: float
    notes: tuple[str, ...] = ()

    def figure(self, circuit: Circuit) -> go.Figure:
        """The circuit's members by layer with the edges that are kept; dropped members are hollow.

        Raises: SiteError for edges that are not between the circuit's members.
        """
        self.within(circuit)
        return edges_figure(circuit, self.edges, self.members, self.dropped)

    def table(self) -> Rows:
        """One row an edge: from where, into which inputs, the change of the logit difference
        when it is patched, and that as a share of the clean one."""
        return [
            {
                "sender": str(edge.sender),
                "receiver": print_receivers(edge.receivers),
                "effect": edge.effect,
                "share": edge.share,
                "threshold": self.threshold,
            }
            for edge in self.edges
        ]

    def within(self, circuit: Circuit) -> Circuit:
        """The circuit without the members that were dropped.

        Raises: SiteError where the edges are not of this circuit's members.
        """
        foreign = [s for s in (*self.members, *self.dropped) if s not in circuit.sites]
        if foreign:
            raise SiteError(f"{foreign[0]} is not in “{circuit.name[:60]}”; take its own edges.")
        kept = tuple(site for site in circuit.sites if site not in self.dropped)
        return replace(circuit, sites=kept, threshold=self.threshold)


def prune_edges(matrix: PathMatrix, threshold: float = 0.02) -> EdgeCircuit:
    """Keep the paths that change the logit difference by at least a share of the clean one.

    `matrix`: from `path_matrix` over the circuit's members, whole or split by q, k and v.
    Returns: EdgeCircuit. Raises: ExperimentError for more members than can be drawn, a threshold
    that is no share, or a task the model does not do.
    """
    if len(matrix.senders) > MOST_NODES:
        raise ExperimentError(
            f"The circuit has {len(matrix.senders)} members; at most {MOST_NODES} are pruned edge "
            "by edge. Prune its nodes first."
        )
    if not 0 <= threshold < float("inf"):
        raise ExperimentError(
            f"A threshold is a share of the clean score, from 0: not {threshold}."
        )
    if matrix.clean <= 0:
        raise ExperimentError(
            f"The mean logit difference is {matrix.clean:.2f} with nothing patched, so nothing is "
            "a share of it. Leave out the pairs the model gets wrong."
        )
    share = matrix.effect / matrix.clean
    reached: set[Site] = set()
    edges: list[Edge] = []
    for j in _backward(matrix):
        receivers = matrix.inputs[j]
        if receivers != (LOGITS,) and site_of(receivers[0]) not in reached:
            continue
        for i in np.argsort(-np.abs(share[:, j]), kind="stable"):
            if not abs(share[i, j]) >= threshold:  # or there is no path: NaN
                continue
            sender = matrix.senders[i]
            reached.add(sender)
            effect = float(matrix.effect[i, j])
            edges.append(Edge(sender, receivers, effect, effect / matrix.clean))
    return EdgeCircuit(
        edges=tuple(edges),
        members=tuple(site for site in matrix.senders if site in reached),
        dropped=tuple(site for site in matrix.senders if site not in reached),
        threshold=threshold,
        notes=matrix.notes,
    )


def _backward(matrix: PathMatrix) -> list[int]:
    """The columns, receivers before what may send to them: the logits, then the later layers, an
    MLP before the heads of its layer."""

    def depth(j: int) -> tuple[bool, int, bool]:
        first = matrix.inputs[j][0]
        return first.layer is None, first.layer or 0, first.part == "mlp"

    return sorted(range(len(matrix.inputs)), key=depth, reverse=True)
