"""Nodes ranked by gradients integrated between both runs of a search's pairs.

By NAP-IG a node's number is the size of its own score, mean over pairs. By EAP-IG (Hanna, Pezzelle
& Belinkov 2024) edges are taken in the order of the size of theirs, and those prune themselves that
are on no path from what enters layer 0 to the logits: a node's number is the size of the score of
the edge with which it is first on what is left. What neither shows: what nodes do together; a node
that stands in for another has a small number while both are there, and one that does the same in
both runs has none, however much it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.sites import Site
from ..gradients.edge_results import EdgeAttribution
from ..gradients.edges import AttributeEdges
from ..gradients.nodes import AttributeNodes
from ..model.model import Model
from ..model.worker import Steps
from ..paths.receivers import Receiver, inputs_of
from .search import Node, Search


def scored_nodes(
    model: Model, search: Search, nodes: Sequence[Node]
) -> Steps[tuple[tuple[Node, float], ...]]:
    """Each node with its number, in logits, or nats where a pair has no logit difference; from 0,
    the least first.

    Raises: EngineError for pairs or a model that have no such scores.
    """
    e, pairs = Experiment(model.name), search.task.pairs
    scores: dict[Site, float]
    if search.by == "nap-ig":
        nap = AttributeNodes(e, pairs, search.steps).answered(model)
        grid = (yield from nap.steps(_unseen)).grid()
        scores = {site: abs(grid[site]) for site in grid.sites}
    else:
        eap = AttributeEdges(e, pairs, search.steps).answered(model)
        scores = joined((yield from eap.steps(_unseen)))
    lacking = next((node for node in nodes if node.site not in scores), None)
    if lacking is not None:
        raise ExperimentError(
            f"{lacking} has no score by gradients in this model, so it has no rank: search by "
            "pruning, greedily or by gradient."
        )
    ranked = [(node, scores[node.site]) for node in nodes]
    place = {site: i for i, site in enumerate(scores)}
    return tuple(sorted(ranked, key=lambda one: (one[1], -place[one[0].site])))


def joined(edges: EdgeAttribution) -> dict[Site, float]:
    """For each head and MLP, the size of the edge score at which it is first on a path from what
    enters layer 0 to the logits, as edges are taken, those of the greatest size first. The greatest
    first; of nodes that one edge joins, that whose own edges add up to more.

    The way to a node is as late as its latest edge, and the earliest way counts, so it is found
    from sender to sender, as the longest path in such a graph is.
    """
    sizes = np.abs(edges.score)
    order = np.argsort(-np.where(np.isnan(sizes), -1.0, sizes), axis=None, kind="stable")
    when = np.full(sizes.size, np.inf)
    when[order[: edges.n_edges]] = np.arange(edges.n_edges)
    when = when.reshape(sizes.shape)
    n, own = len(edges.senders), _inputs(edges)
    first, last = np.zeros(n), np.zeros(n)
    for i in range(1, n):  # senders stand in the order in which they write
        first[i] = np.maximum(first[:i, None], when[:i, own[i]]).min()
    onward = np.full(len(edges.receivers), np.inf)
    onward[edges.columns("logits")] = -1.0
    for i in reversed(range(1, n)):
        last[i] = np.maximum(when[i], onward).min()
        onward[own[i]] = np.minimum(onward[own[i]], last[i])
    whole = np.abs(np.nansum(edges.score, axis=1))
    joins = np.maximum(first, last).astype(int)
    ranked = sorted(range(1, n), key=lambda i: (joins[i], -whole[i]))
    return {edges.senders[i]: float(sizes.flat[order[joins[i]]]) for i in ranked}


def _inputs(edges: EdgeAttribution) -> list[list[int]]:
    """By sender, where its own inputs are among the receivers."""
    none: tuple[Receiver, ...] = ()
    asked = [none, *(inputs_of(site) for site in edges.senders[1:])]
    return [edges.columns(some) if some else [] for some in asked]


def _unseen(_: object) -> None:
    """What is known before all pairs are done, which no one looks at here."""
