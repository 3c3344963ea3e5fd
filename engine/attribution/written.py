"""What heads and neurons write, followed from their projection into the residual stream; and
whether the stream is the sum of what is written into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import EngineError
from ..experiment.sites import Head
from ..model.model import Model
from ..model.weights import W_O, W_out, b_O, b_out
from ..passes.forward import Capture
from .frozen import FrozenNorm
from .readout import close_to

Vectors = Mapping[Capture, Tensor]
"""What was seen at places at the last position."""


@dataclass(frozen=True, eq=False)
class Parts:
    """What a projection makes of what it is given, part by part.

    `numbers`: what each of the numbers it is given adds along a direction of the stream, in the
    shape they have; `bias`: what is added beside them, by the projection and by a norm behind it.
    `each`: what a unit of each of the numbers would add.
    """

    numbers: Float[Tensor, "*given"]
    each: Float[Tensor, "*given"]
    bias: float


def heads_parts(model: Model, layer: int, vectors: Vectors, toward: Tensor) -> Parts | None:
    """What a layer's heads write along a direction, [head_index d_head]; None where the layer has
    none. Raises: EngineError where they are not what its attention writes."""
    if ("z", layer) not in vectors:
        return None
    if ("attn_out", layer) not in vectors:
        raise refused(
            model,
            layer,
            "what heads write goes through more than a norm before it is added to the residual "
            "stream, so nothing is attributed to them",
        )
    weight, bias = W_O(model, layer), b_O(model, layer)
    projection = model.layer(layer).output
    assert projection is not None
    parts, landed = _parts(
        model, ("attn_out", layer), projection, vectors["z", layer], weight, bias, toward
    )
    if _off(landed, vectors["attn_out", layer]) > close_to(model):
        raise refused(
            model,
            layer,
            "what heads write is changed on the way into the residual stream, so nothing is "
            "attributed to them",
        )
    return parts


def head_vector(model: Model, head: Head, vectors: Vectors) -> Float[Tensor, " d_model"]:
    """What one head writes into the residual stream, biases left out, float64; what stands behind
    the projection held at the scale it has on the whole. Raises: as `heads_parts` does."""
    layer, zero = head.layer, torch.zeros(model.shape.d_model, dtype=torch.float64)
    if heads_parts(model, layer, vectors, zero) is None:
        raise EngineError(model.why_not("z", layer))
    given, weight = vectors["z", layer].float(), W_O(model, layer).float()
    own = (given[head.head] @ weight[head.head]).cpu().double()
    place, projection = model.place("attn_out", layer), model.layer(layer).output
    if not any(module is projection for module in place.module.modules()):
        whole = torch.einsum("he,hed->d", given, weight) + b_O(model, layer).float()
        norm = FrozenNorm.on(place.module, whole)
        own = norm(own) - norm.bias
    return place.scale * own


def neurons_parts(model: Model, layer: int, vectors: Vectors, toward: Tensor) -> tuple[Parts, bool]:
    """What an MLP's neurons write along a direction, [d_mlp], and whether together they are what
    the MLP writes."""
    weight, bias = W_out(model, layer), b_out(model, layer)
    projection = model.layer(layer).parts["mlp.out"].module
    at = ("mlp_out", layer)
    parts, landed = _parts(model, at, projection, vectors["post", layer], weight, bias, toward)
    return parts, _off(landed, vectors[at]) <= close_to(model)


def _parts(
    model: Model, at: Capture, projection: nn.Module, given: Tensor, weight: Tensor, bias: Tensor,
    toward: Tensor,
) -> tuple[Parts, Tensor]:  # fmt: skip
    """The parts of what passes at a place, and what they come to there. What stands between the
    projection and that place is a norm, held at the scale it has on the whole, or nothing."""
    matrix = weight.reshape(-1, weight.shape[-1]).float()
    whole = (given.flatten().float() @ matrix + bias.float()).cpu().double()
    place, constant = model.place(*at), bias.cpu().double()
    toward, landed = place.scale * toward, whole
    added = 0.0
    if projection not in place.module.modules():
        norm = FrozenNorm.on(place.module, whole)
        added, landed = float(norm.bias @ toward), norm(whole)
        toward = norm.before(toward)
    each = (matrix @ toward.to(matrix)).view(given.shape).cpu().double()
    numbers = given.cpu().double() * each
    return Parts(numbers, each, added + float(constant @ toward)), place.scale * landed


def check_added(model: Model, vectors: Vectors) -> tuple[int, ...]:
    """Refuse a model whose heads and MLPs do not add what they write to the residual stream.

    `vectors`: of a run with nothing changed, with the stream as it enters each layer, leaves the
    last and, where that is known, stands between a layer's heads and its MLP.
    Returns: the layers that add something else as well.
    Raises: EngineError naming the layer.
    """
    others: list[int] = []
    seen: set[str] = set()
    unseen: list[tuple[str, int]] = []
    for layer in range(model.shape.n_layers):
        here = {name: vector for (name, at), vector in vectors.items() if at == layer}
        parts = {name: one for name, one in here.items() if name in ("attn_out", "mlp_out")}
        before, mid = here["resid_pre"], here.get("resid_mid")
        after = vectors.get(("resid_pre", layer + 1), here.get("resid_post"))
        assert after is not None
        if _adds(model, before, after, *parts.values()):
            seen |= set(parts)
            continue
        others.append(layer)
        for name, vector in parts.items():
            if mid is None:
                unseen.append((name, layer))
            elif not (
                _adds(model, mid, after, vector)
                if name == "mlp_out"
                else _adds(model, before, mid, vector) or _is_between(model)
            ):
                raise _not_added(model, layer)
            else:
                seen.add(name)
    for name, layer in unseen:
        if name not in seen:
            raise _not_added(model, layer)
    return tuple(others)


def _is_between(model: Model) -> bool:
    """Whether the trial of the model saw that what attention writes moves the stream behind it by
    as much, whatever else is added beside it."""
    return any(check.name == "between" and check.holds for check in model.certificate.checks)


def _adds(model: Model, before: Tensor, after: Tensor, *parts: Tensor) -> bool:
    """Whether these parts are what is added between two places of the stream."""
    vectors = [part.cpu().double() for part in (before, after, *parts)]
    added = sum(vectors[2:], 0 * vectors[0])
    room = close_to(model) * (added.norm() + 0.1 * vectors[1].norm())
    return bool((vectors[0] + added - vectors[1]).norm() <= room)


def _off(one: Tensor, other: Tensor) -> float:
    """How far two vectors are apart, as a share of their length."""
    one, other = one.cpu().double(), other.cpu().double()
    return float((one - other).norm() / max(float(one.norm() + other.norm()), 1e-30))


def _not_added(model: Model, layer: int) -> EngineError:
    return refused(
        model,
        layer,
        "what heads and MLPs write is not added to the residual stream as it is (it is normed or "
        "scaled with it), so nothing is attributed to them",
    )


def refused(
    model: Model,
    layer: int,
    why: str,
    instead: str = "The Sweep shows what each does switched off.",
) -> EngineError:
    """The complaint of a layer in which something cannot be attributed, and what there is."""
    return EngineError(f"In layer {layer} of {model.checkpoint.architecture} {why}. {instead}")
