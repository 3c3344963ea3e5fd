"""How Hugging Face's modules keep their weights, and the same memory laid out head by head.

A linear layer's weight is `[d_out d_in]` here, whichever way its class stores it; of a projection
that gives several things, the columns of its `Place` say which rows are meant.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ..errors import EngineError
from .model import Model
from .place import Place, inputs_of

_MULTIPLIES = ("torch.nn.modules.linear", "transformers.pytorch_utils", "engine.model.kernels")
"""Where linear layers are written that multiply by their weight as it is."""
_WHERE = {
    "Q": "q", "K": "k", "V": "v", "O": "z", "in": "mlp.in", "gate": "mlp.gate", "out": "mlp.out",
}  # fmt: skip
"""Where each weight of a layer is found: at the place of an activation, or in a part."""


def stored(model: Model, name: str, layer: int | None, module: nn.Module) -> Tensor:
    """A module's weight as it is stored. Raises: EngineError where its numbers are packed."""
    weight = getattr(module, "weight", None)
    packing = model.checkpoint.quantization if model.checkpoint.packed else None
    if isinstance(weight, Tensor) and type(weight) in (Tensor, nn.Parameter):
        wide = weight.is_floating_point() and weight.dtype.itemsize > 1
        packs = packing is not None and isinstance(module, nn.Linear)
        if wide and not (packs and type(module).forward.__module__ not in _MULTIPLIES):
            return weight.detach()
    kind = str(getattr(weight, "dtype", type(module).__name__)).removeprefix("torch.")
    raise EngineError(
        f"{name}{_in(layer)} of {model.checkpoint.architecture} is quantized ({packing or kind}): "
        "what is stored are packed numbers, not those it multiplies by. Load the same model "
        "without quantization to see its weights."
    )


def matrix(model: Model, name: str, layer: int) -> Tensor:
    """The whole weight [d_out d_in] of the linear layer in which a weight or bias is found."""
    module = linear(model, name, layer).module
    weight = stored(model, name, layer, module)
    return weight.T if isinstance(module, Conv1D) else weight


def bias(module: nn.Module, weight: Tensor) -> Tensor:
    """What a linear layer of this weight [d_out d_in] adds, [d_out]; zeros where it adds none."""
    own = getattr(module, "bias", None)
    return own.detach() if isinstance(own, Tensor) else torch.zeros_like(weight[:, 0])


def into_heads(model: Model, name: str, layer: int) -> Tensor:
    """Of a projection into heads, weight [heads d_head d_model] or bias [heads d_head]."""
    place = linear(model, name, layer)
    whole = matrix(model, name, layer)
    places, heads = model.layer(layer).places, place.heads or 1
    d_head = (inputs_of(places["z"].module) or 0) // model.structure.n_heads
    if name[-1] in "QK" and "k" in places:  # values may be wider or narrower than they
        d_head = _n_outputs(places["k"]) // model.structure.n_key_value_heads
    if _n_outputs(place) != heads * d_head:
        given = f"its projection gives {_n_outputs(place)} numbers, not {heads} × {d_head}"
        raise lacking(model, name, layer, given)
    return _cut(place, whole if name[0] == "W" else bias(place.module, whole), heads)


def into_neurons(model: Model, name: str, layer: int) -> Tensor:
    """Of a projection into neurons, weight [d_mlp d_model] or bias [d_mlp]."""
    place = linear(model, name, layer)
    whole = matrix(model, name, layer)
    return _cut(place, whole if name[0] == "W" else bias(place.module, whole), 1)[0]


def _cut(place: Place, values: Tensor, heads: int) -> Tensor:
    """A place's share of a projection's outputs, `values` [d_out ...], cut into heads.

    Returns: [heads width ...], a view where the heads lie evenly spaced.
    """
    if place.columns is None:
        return values.unflatten(0, (heads, -1))
    columns = place.columns.view(heads, -1)
    steps = columns[:, 0].diff().unique().tolist()
    if len(steps) > 1 or bool((columns.diff(dim=1) != 1).any()):
        return values[place.columns.to(values.device)].unflatten(0, (heads, -1))
    along, *others = values.stride()
    return values.as_strided(
        (*columns.shape, *values.shape[1:]),
        ((steps or [0])[0] * along, along, *others),
        values.storage_offset() + int(columns[0, 0]) * along,
    )


def _n_outputs(place: Place) -> int:
    """How many numbers a linear layer gives that belong to a place."""
    module = place.module
    whole = module.nf if isinstance(module, Conv1D) else module.out_features
    return int(whole) if place.columns is None else len(place.columns)  # type: ignore[arg-type]


def linear(model: Model, name: str, layer: int) -> Place:
    """Where a weight or bias of a layer is. Raises: EngineError where the layer has none such."""
    where, own = _WHERE[name.partition("_")[2]], model.layer(layer)
    activation = "post" if where == "mlp.out" else where
    if (activation, layer) in model.refused:
        raise EngineError(
            f"{name}{_in(layer)} of {model.checkpoint.architecture} is not shown, as "
            f"{activation} is refused there: {model.refused[activation, layer]}."
        )
    of_mlp = where.startswith("mlp.")
    result = own.parts.get(where) if of_mlp else own.places.get(where)
    if result is not None:
        return result
    if not of_mlp and own.attention is None:
        why = "there are no attention heads in it"
    elif where == "z":
        why = "its heads are not joined by one projection"
    elif not of_mlp:
        why = (
            "no projection is known to make that alone, as in latent attention or where another "
            "layer's keys and values are used"
        )
    elif own.mlp is not None and any("expert" in n for n, _ in own.mlp.named_children()):
        why = "its MLP is a mixture of experts, each with weights of its own"
    elif where == "mlp.gate" and "mlp.in" in own.parts:
        why = "its MLP has no gate"
    else:
        why = "its MLP is not one linear layer into neurons and one out of them"
    raise lacking(model, name, layer, why)


def norm(model: Model, name: str, layer: int | None) -> Tensor:
    """The weight or bias of a norm, by a name such as `ln1.w`. Raises: EngineError where there is
    no such norm, or it does without."""
    which, _, kind = name.rpartition(".")
    place = None if layer is None else model.layer(layer).parts.get(which)
    module = model.structure.ln_final if layer is None else None if place is None else place.module
    if module is None:
        raise lacking(model, name, layer, "there is no norm of that name")
    value = getattr(module, "weight" if kind == "w" else "bias", None)
    if not isinstance(value, Tensor):
        what = "multiplies by no weight" if kind == "w" else "adds no bias"
        raise lacking(model, name, layer, f"that norm ({type(module).__name__}) {what}")
    return value.detach()


def beside_stream(model: Model, name: str, module: nn.Module) -> Tensor:
    """A weight [n d_model] at one of the model's ends. Raises: EngineError where it is not as wide
    as the stream, as another projection lies between (OPT-350m)."""
    weight = stored(model, name, None, module)
    z = next(layer.places["z"] for layer in model.structure.layers if "z" in layer.places)
    if weight.shape[-1] != _n_outputs(z):
        widths = f"its table is {weight.shape[-1]} wide and the stream {_n_outputs(z)}"
        raise lacking(model, name, None, f"{widths}, with a projection between them")
    return weight


def lacking(model: Model, name: str, layer: int | None, why: str) -> EngineError:
    """The complaint that a model has no such weight."""
    return EngineError(f"{model.checkpoint.architecture} has no {name}{_in(layer)}: {why}.")


def _in(layer: int | None) -> str:
    return "" if layer is None else f" in layer {layer}"
