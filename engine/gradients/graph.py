"""The edges of a model: which senders write into the stream before which receivers read it."""

from __future__ import annotations

from dataclasses import dataclass

from ..attribution.backward import PARTS
from ..errors import EngineError
from ..experiment.sites import MLP, Head, Site
from ..model.model import Model
from ..paths.receivers import LOGITS, Receiver
from .edge_results import EMBEDDING


@dataclass(frozen=True)
class Graph:
    """Senders in the order in which they write, and each receiver, with how many of the senders
    come before it, which are the first ones."""

    senders: tuple[Site, ...]
    receivers: tuple[Receiver, ...]
    reach: tuple[int, ...]

    def columns(self, part: str, layer: int) -> slice:
        """Where the receivers of one part of a layer stand, side by side."""
        mine = [j for j, r in enumerate(self.receivers) if (r.part, r.layer) == (part, layer)]
        return slice(mine[0], mine[-1] + 1)


def graph_of(model: Model) -> Graph:
    """Every sender and receiver of a model, layer by layer.

    Raises: EngineError for heads whose queries, keys or values cannot be seen.
    """
    s = model.shape
    senders: list[Site] = [EMBEDDING]
    receivers: list[tuple[Receiver, int]] = []
    shared = {"q": 1, "k": s.n_heads // s.n_key_value_heads, "v": s.n_heads // s.n_key_value_heads}
    for layer in range(s.n_layers):
        before = len(senders)
        if model.reaches("z", layer):
            for part in PARTS:
                if not model.reaches(part, layer):
                    raise EngineError(
                        f"{model.why_not(part, layer)} So no edges lead into its heads; "
                        "attributions of nodes, and sweeps, can be had."
                    )
                heads = range(0, s.n_heads, shared[part])
                receivers += [(Receiver(part, layer, head), before) for head in heads]
            senders += [Head(layer, head) for head in range(s.n_heads)]
        if model.reaches("mlp_out", layer):
            reach = len(senders) if model.reaches("resid_mid", layer) else before
            receivers.append((Receiver("mlp", layer), reach))
            senders.append(MLP(layer))
    receivers.append((LOGITS, len(senders)))
    return Graph(tuple(senders), tuple(r for r, _ in receivers), tuple(n for _, n in receivers))
