"""What each head of a layer writes where it looks at one token alone, by its weights."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..attribution.readout import close_to
from ..attribution.runs import Runs
from ..attribution.written import heads_parts, refused
from ..model.model import Model
from ..model.weights import W_O, W_V, b_V, per_query_head
from ..passes.forward import Capture

_INSTEAD = "The Sweep and the Attention page show its heads."


def values(
    model: Model, layer: int, stream: Float[Tensor, "word d_model"]
) -> Float[Tensor, "head_index word d_head"]:
    """The values that a layer's heads take from vectors of the stream: the layer's own norm, then
    W_V and b_V. Query heads that share one have the same."""
    norm = model.layer(layer).parts.get("ln1")
    read = stream if norm is None else norm.module(stream.to(model.dtype))
    weight, bias = W_V(model, layer), b_V(model, layer)
    own = torch.einsum("wd,hde->hwe", read.to(weight.dtype), weight) + bias[:, None]
    return per_query_head(model, own)


def written(
    model: Model, layer: int, stream: Float[Tensor, "word d_model"]
) -> Float[Tensor, "head_index word d_model"]:
    """What each head adds to the stream for each of these vectors, attended to alone: values, W_O,
    and a norm behind the projection, where a family has one, at the scale of that head alone."""
    given = values(model, layer, stream)
    out = torch.einsum("hwe,hed->hwd", given, W_O(model, layer).to(given.dtype))
    place, projection = model.place("attn_out", layer), model.layer(layer).output
    if not any(module is projection for module in place.module.modules()):
        out = place.module(out)
    return place.scale * out


def check_layer(model: Model, layer: int, runs: Runs) -> None:
    """Refuse a layer whose heads do not write their pattern times such values, as a run shows.

    Raises: EngineError in words.
    """
    seen = {name: value for (name, at), value in runs.clean.vectors.items() if at == layer}
    if "v" not in seen or "pattern" not in seen:
        raise refused(model, layer, "the heads' values cannot be seen", _INSTEAD)
    given = per_query_head(model, seen["v"], 1).transpose(0, 1)
    own = values(model, layer, seen["resid_pre"]).to(given.dtype)
    mixed = (seen["pattern"] @ given)[:, -1]
    if own.shape != given.shape or _off(model, own, given):
        raise refused(model, layer, "values are not made of the stream by a norm and W_V", _INSTEAD)
    if _off(model, mixed, seen["z"][-1]):
        raise refused(
            model,
            layer,
            "what a head gives is not its pattern times its values (they are normed or gated on "
            "the way)",
            _INSTEAD,
        )
    last: dict[Capture, Tensor] = {
        (name, layer): seen[name][-1] for name in ("z", "attn_out") if name in seen
    }
    heads_parts(model, layer, last, runs.clean.read.toward)


def _off(model: Model, one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are farther apart than rounding takes them."""
    apart = (one.double() - other.double()).norm()
    return bool(apart > close_to(model) * (one.double().norm() + other.double().norm()))
