"""The norms around a layer's heads, held at one scale, as far as their gains go."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..attribution.frozen import FrozenNorm
from ..model.model import Model


def held(model: Model, layer: int | None, behind: bool = False) -> FrozenNorm | None:
    """The norm that a layer's heads read through, or, `behind`, the one behind their output; the
    final norm without a layer. Its scale is that on a vector of size 1; None where there is no such
    norm."""
    if layer is None:
        module = model.structure.ln_final
    elif behind:
        place, projection = model.place("attn_out", layer), model.layer(layer).output
        inside = any(one is projection for one in place.module.modules())
        module = None if inside else place.module
    else:
        part = model.layer(layer).parts.get("ln1")
        module = None if part is None else part.module
    if module is None:
        return None
    vector = torch.ones(model.shape.d_model)
    vector[1::2] = -1
    return FrozenNorm.on(module, vector)


def read_through(
    model: Model, layer: int, weight: Float[Tensor, "head d_model d_head"]
) -> Float[Tensor, "head d_model d_head"]:
    """A weight that heads read the stream by, with the gain of the norm before it, float32."""
    norm, weight = held(model, layer), weight.float()
    if norm is None:
        return weight
    weight = weight * norm.gain.to(weight)[:, None]
    return weight - weight.mean(1, keepdim=True) if norm.centres else weight
