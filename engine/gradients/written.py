"""How what each sender writes into the residual stream differs between two runs."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..attribution.readout import close_to
from ..attribution.written import refused
from ..experiment.sites import Head
from ..model.model import Model
from ..model.weights import W_O, b_O
from .graph import Graph
from .runs import CLEAN, Runs

SEEN = ("z", "attn_out", "mlp_out")
"""What must be seen of both runs."""


def differences(
    model: Model, runs: Runs, graph: Graph
) -> Float[Tensor, "prompt sender pos d_model"]:
    """Corrupted − clean of what each sender adds to the stream, float32.

    Raises: EngineError where what heads give is changed on the way by more than a norm.
    """
    parts = [runs.off(runs.embedded)[:, None]]
    for layer in range(model.shape.n_layers):
        if Head(layer, 0) in graph.senders:
            parts.append(_of_heads(model, runs, layer))
        if ("mlp_out", layer) in runs.captured:
            parts.append(runs.off(runs.captured["mlp_out", layer])[:, None])
    return torch.cat(parts, dim=1)


def _of_heads(
    model: Model, runs: Runs, layer: int
) -> Float[Tensor, "prompt head_index pos d_model"]:
    """Through the output projection; where a norm stands behind it, what becomes of the norm's
    output when that head alone is as in the corrupted run, as path patching has it."""
    z = runs.captured["z", layer]
    if ("attn_out", layer) not in runs.captured:
        raise _changed(model, layer)
    weight, place = W_O(model, layer).float(), model.place("attn_out", layer)
    off = torch.einsum("pthe,hed->phtd", runs.off(z), weight)
    whole = torch.einsum("pthe,hed->ptd", z[CLEAN].float(), weight) + b_O(model, layer).float()
    landed = whole
    if not any(m is model.layer(layer).output for m in place.module.modules()):
        landed = _normed(model, place.module, whole)
        off = _normed(model, place.module, whole[:, None] + off) - landed[:, None]
    clean = runs.captured["attn_out", layer][CLEAN].float()
    if (place.scale * landed - clean).norm() > close_to(model) * clean.norm():
        raise _changed(model, layer)
    return place.scale * off


def _normed(model: Model, norm: torch.nn.Module, vectors: Tensor) -> Tensor:
    result: Tensor = norm(vectors.to(model.dtype))
    return result.float()


def _changed(model: Model, layer: int) -> Exception:
    why = "what heads write is changed on the way into the stream, so no edge is scored"
    return refused(model, layer, why)
