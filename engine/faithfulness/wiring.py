"""Everything a circuit may be made of, in order; and which of it is kept, as arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from ..errors import ExperimentError
from ..experiment.sites import MLP, Head, Site
from ..gradients.edge_results import EMBEDDING
from ..gradients.graph import Graph, graph_of
from ..model.model import Model
from ..paths.patching import is_sequential
from ..paths.receivers import LOGITS, Receiver
from .ranked import Ranked, edge_name


@dataclass(frozen=True)
class Wiring:
    """The edges between a model's nodes, and what members of a ranking are among them.

    `is_edge` [sender receiver]: whether the sender writes before the receiver reads.
    """

    graph: Graph
    n_shared: int
    is_edge: Bool[np.ndarray, "sender receiver"]

    @cached_property
    def index(self) -> dict[str, int]:
        """Where each node is among the senders, by name."""
        return {str(site): i for i, site in enumerate(self.graph.senders)}

    @cached_property
    def edges(self) -> dict[str, tuple[int, int]]:
        """Where each edge is, by name."""
        senders, receivers = self.graph.senders, self.graph.receivers
        rows, columns = np.nonzero(self.is_edge)
        return {
            edge_name(senders[i], receivers[j]): (i, j)
            for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
        }

    @cached_property
    def owners(self) -> np.ndarray:
        """Whether a receiver is an input of a node, [sender receiver]; shared keys are of each head
        that has them."""
        owned = np.zeros(self.is_edge.shape, bool)
        at = {site: i for i, site in enumerate(self.graph.senders)}
        for j, one in enumerate(self.graph.receivers):
            for site in self._owners(one):
                owned[at[site], j] = True
        return owned

    def _owners(self, one: Receiver) -> list[Site]:
        if one.layer is None:
            return []
        if one.head is None:
            return [MLP(one.layer)]
        n = 1 if one.part == "q" else self.n_shared
        return [Head(one.layer, head) for head in range(one.head, one.head + n)]

    def pruned(self, kept: Bool[np.ndarray, "sender receiver"]) -> np.ndarray:
        """The edges that are on a path of kept edges from what enters layer 0 to the logits, as MIB
        prunes: the others change no number. [sender receiver]."""
        kept = kept & self.is_edge
        before = -1
        while before != (before := int(kept.sum())):
            read = np.asarray(kept.any(0))
            entered = np.asarray((self.owners & read).any(1))
            entered[0] = True
            alive = entered & kept.any(1)
            live = np.asarray((self.owners & alive[:, None]).any(0))
            live[self.graph.receivers.index(LOGITS)] = True
            kept = kept & alive[:, None] & live
        return kept

    def places(self, level: str, names: Iterable[str]) -> Int[np.ndarray, " member"]:
        """Where nodes are among the senders, or edges in `is_edge` laid flat."""
        if level == "nodes":
            return np.array([self.index[name] for name in names], np.int64)
        n = self.is_edge.shape[1]
        return np.array([i * n + j for i, j in map(self.edges.__getitem__, names)], np.int64)

    def kept(self, level: str, places: Int[np.ndarray, " member"]) -> np.ndarray:
        """Which edges those at these `places` are, or, of nodes, which edges lead from them."""
        if level == "edges":
            kept = np.zeros(self.is_edge.size, bool)
            kept[places] = True
            return kept.reshape(self.is_edge.shape)
        own = np.zeros(len(self.graph.senders), bool)
        own[places] = True
        return self.is_edge & own[:, None]

    def order(self, one: Ranked, by: str) -> tuple[str, ...]:
        """Members in the order of a ranking; edges that it does not score count as 0.

        Raises: ExperimentError for one of another model's shape.
        """
        known = self.edges if one.level == "edges" else self.index
        other = next((name for name, _ in one.scores if name not in known), None)
        if other is not None:
            raise ExperimentError(
                f"“{one.name[:60]}” ranks {other:.40}, and this model has no such "
                f"{one.level.removesuffix('s')}: it is of a model of another shape."
            )
        if one.level == "edges" and len(one.scores) < len(known):
            scores = dict.fromkeys(known, 0.0) | dict(one.scores)
            return Ranked(one.name, one.model, one.level, scores).order(by)
        return one.order(by)


def wiring_of(model: Model, level: str) -> Wiring:
    """All nodes, or all edges, of a model.

    Raises: ExperimentError for edges of a model whose layers mix tokens otherwise than by heads,
    EngineError for heads whose inputs cannot be seen.
    """
    s = model.shape
    if level == "edges":
        graph = graph_of(model)
        lacking = next(
            (i for i in range(s.n_layers) if i in s.without_heads or not model.reaches("z", i)),
            None,
        )
        if lacking is not None:
            raise ExperimentError(
                f"Layer {lacking} of {model.checkpoint.architecture} mixes tokens otherwise than "
                "by heads, so what its edges carry is no circuit of edges. Circuits of nodes can "
                "be had."
            )
    else:
        graph = _nodes(model)
    reach = np.array(graph.reach)
    is_edge = np.arange(len(graph.senders))[:, None] < reach
    return Wiring(graph, s.n_heads // s.n_key_value_heads, is_edge)


def _nodes(model: Model) -> Graph:
    """The same of a model whose inputs need not be seen."""
    s = model.shape
    senders: list[Site] = [EMBEDDING]
    receivers: list[tuple[Receiver, int]] = []
    for layer in range(s.n_layers):
        before = len(senders)
        if layer not in s.without_heads:
            for part in ("q", "k", "v"):
                step = 1 if part == "q" else s.n_heads // s.n_key_value_heads
                receivers += [
                    (Receiver(part, layer, head), before) for head in range(0, s.n_heads, step)
                ]
            senders += [Head(layer, head) for head in range(s.n_heads)]
        if layer not in s.without_mlp:
            reach = len(senders) if is_sequential(model) else before
            receivers.append((Receiver("mlp", layer), reach))
            senders.append(MLP(layer))
    receivers.append((LOGITS, len(senders)))
    return Graph(tuple(senders), tuple(r for r, _ in receivers), tuple(n for _, n in receivers))
