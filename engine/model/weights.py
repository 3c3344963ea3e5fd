"""A model's weights by TransformerLens name, read where Hugging Face's own modules keep them.

What is given is the module's own memory, laid out anew without a copy wherever its strides allow,
and is to be read only. Nothing is folded, centred or scaled: these are the stored numbers. What
the model does beside them is said where it matters (norms, `W_E`, `W_O`, `W_out`, `W_U`).
"""

# ruff: noqa: N802 - these names are the field's

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import EngineError
from .layouts import beside_stream, bias, into_heads, into_neurons, lacking, linear, matrix, norm
from .model import Model


def W_Q(model: Model, layer: int) -> Float[Tensor, "head_index d_model d_head"]:
    """Queries: q = x @ W_Q + b_Q, of what attention is given, before any norm or rotation."""
    return into_heads(model, "W_Q", layer).transpose(1, 2)


def W_K(model: Model, layer: int) -> Float[Tensor, "n_key_value_heads d_model d_head"]:
    """Keys, one for each key-value head; `per_query_head` has them for each query head."""
    return into_heads(model, "W_K", layer).transpose(1, 2)


def W_V(model: Model, layer: int) -> Float[Tensor, "n_key_value_heads d_model d_head"]:
    """Values, one for each key-value head; `per_query_head` has them for each query head. z is
    pattern @ v, unless a family norms or gates what heads give (Gemma 4, BitNet, Qwen 3.5)."""
    return into_heads(model, "W_V", layer).transpose(1, 2)


def W_O(model: Model, layer: int) -> Float[Tensor, "head_index d_head d_model"]:
    """Attention's output is z @ W_O, summed over heads, + b_O; a norm behind it (Gemma 2 and 3,
    OLMo 2) or a factor (Granite) comes after."""
    return matrix(model, "W_O", layer).T.unflatten(0, (model.shape.n_heads, -1))


def b_Q(model: Model, layer: int) -> Float[Tensor, "head_index d_head"]:
    """Added to the queries; zeros where the model adds nothing."""
    return into_heads(model, "b_Q", layer)


def b_K(model: Model, layer: int) -> Float[Tensor, "n_key_value_heads d_head"]:
    """Added to the keys of each key-value head; zeros where the model adds nothing."""
    return into_heads(model, "b_K", layer)


def b_V(model: Model, layer: int) -> Float[Tensor, "n_key_value_heads d_head"]:
    """Added to the values of each key-value head; zeros where the model adds nothing."""
    return into_heads(model, "b_V", layer)


def b_O(model: Model, layer: int) -> Float[Tensor, " d_model"]:
    """Added once to the sum over heads; zeros where the model adds nothing."""
    return bias(linear(model, "b_O", layer).module, matrix(model, "b_O", layer))


def W_in(model: Model, layer: int) -> Float[Tensor, "d_model d_mlp"]:
    """Into the neurons: post = act(x @ W_in + b_in); where there is a gate,
    post = act(x @ W_gate + b_gate) * (x @ W_in + b_in)."""
    return into_neurons(model, "W_in", layer).T


def W_gate(model: Model, layer: int) -> Float[Tensor, "d_model d_mlp"]:
    """The gate of an MLP that has one, see `W_in`."""
    return into_neurons(model, "W_gate", layer).T


def W_out(model: Model, layer: int) -> Float[Tensor, "d_mlp d_model"]:
    """The MLP's output is post @ W_out + b_out; a norm or factor behind it comes after."""
    return matrix(model, "W_out", layer).T


def b_in(model: Model, layer: int) -> Float[Tensor, " d_mlp"]:
    """Added behind `W_in`; zeros where the model adds nothing."""
    return into_neurons(model, "b_in", layer)


def b_gate(model: Model, layer: int) -> Float[Tensor, " d_mlp"]:
    """Added behind `W_gate`; zeros where the model adds nothing."""
    return into_neurons(model, "b_gate", layer)


def b_out(model: Model, layer: int) -> Float[Tensor, " d_model"]:
    """Added behind `W_out`; zeros where the model adds nothing."""
    return bias(linear(model, "b_out", layer).module, matrix(model, "b_out", layer))


def norm_w(model: Model, name: str, layer: int | None = None) -> Float[Tensor, "*axes"]:
    """A norm's weight, [d_model]; of `attn.q_norm` and `attn.k_norm` as the family has it.

    It multiplies what was normalised; in Gemma 1 to 3, Nemotron, Qwen 3 Next and 3.5, and a few
    more, 1 + w does. `name`: ln1, ln1_post, ln2, ln2_post, of a layer, or ln_final.
    """
    return norm(model, f"{name}.w", layer)


def norm_b(model: Model, name: str, layer: int | None = None) -> Float[Tensor, "*axes"]:
    """What a LayerNorm adds behind its weight, [d_model]; an RMSNorm has none."""
    return norm(model, f"{name}.b", layer)


def W_E(model: Model) -> Float[Tensor, "d_vocab d_model"]:
    """Each token's embedding; it enters layer 0 multiplied by a number in some families (Gemma,
    Granite), normalised in others (BLOOM)."""
    embed = model.structure.embed
    if embed is None:
        raise lacking(model, "W_E", None, "its tokens are embedded by no single table")
    return beside_stream(model, "W_E", embed)


def W_pos(model: Model) -> Float[Tensor, "n_ctx d_model"]:
    """What is added to the embedding at each position, the first row at position 0."""
    table = model.structure.pos_embed
    if table is None or not isinstance(getattr(table, "weight", None), Tensor):
        why = "its embedding has no learned table of positions added to it"
        raise lacking(model, "W_pos", None, why)
    offset = getattr(table, "offset", 0)  # OPT's table begins with rows of no position
    return beside_stream(model, "W_pos", table)[offset:]


def W_U(model: Model) -> Float[Tensor, "d_model d_vocab"]:
    """Logits are x @ W_U + b_U of what the final norm gives; a factor (Cohere, Granite) or a cap
    (Gemma 2) comes after. Where it is tied to `W_E` both are one memory."""
    return beside_stream(model, "W_U", model.unembed).T


def b_U(model: Model) -> Float[Tensor, " d_vocab"]:
    """Added to the logits; zeros where the model adds nothing."""
    return bias(model.unembed, W_U(model).T)


def per_query_head(
    model: Model, weight: Float[Tensor, "*axes"], axis: int = 0
) -> Float[Tensor, "*more_axes"]:
    """`W_K`, `W_V`, `b_K` or `b_V` for each query head along the axis of its key-value heads; query
    heads that share one have the same."""
    return weight.repeat_interleave(model.shape.n_heads // weight.shape[axis], axis)


def _of_layer(
    read: Callable[[Model, str, int], Tensor], name: str, model: Model, layer: int
) -> Tensor:
    return read(model, name, layer)


_NORMS = ("ln1", "ln1_post", "ln2", "ln2_post", "attn.q_norm", "attn.k_norm")
_OF_LAYER: dict[str, Callable[[Model, int], Tensor]] = {
    "attn.W_Q": W_Q, "attn.W_K": W_K, "attn.W_V": W_V, "attn.W_O": W_O,
    "attn.b_Q": b_Q, "attn.b_K": b_K, "attn.b_V": b_V, "attn.b_O": b_O,
    "mlp.W_in": W_in, "mlp.W_gate": W_gate, "mlp.W_out": W_out,
    "mlp.b_in": b_in, "mlp.b_gate": b_gate, "mlp.b_out": b_out,
}  # fmt: skip
_OF_MODEL: dict[str, Callable[[Model], Tensor]] = {
    "embed.W_E": W_E, "pos_embed.W_pos": W_pos, "unembed.W_U": W_U, "unembed.b_U": b_U,
}  # fmt: skip
_SHORT = {name.rpartition(".")[2]: name for name in (*_OF_MODEL, *_OF_LAYER)}
for _norm in _NORMS:
    _OF_LAYER[f"{_norm}.w"] = partial(_of_layer, norm_w, _norm)
    _OF_LAYER[f"{_norm}.b"] = partial(_of_layer, norm_b, _norm)
_OF_MODEL["ln_final.w"] = partial(norm_w, name="ln_final")
_OF_MODEL["ln_final.b"] = partial(norm_b, name="ln_final")


def weight(model: Model, name: str) -> Float[Tensor, "*axes"]:
    """A weight by its full name, `blocks.3.attn.W_Q` or `unembed.W_U`, or its last word, `W_U`;
    without a layer, `W_Q`, that of all layers, [layer ...].

    Raises: EngineError where there is no such name, layer or weight, or it is quantized.
    """
    full = _SHORT.get(name, name)
    if full in _OF_MODEL:
        return _OF_MODEL[full](model)
    n_layers = model.shape.n_layers
    if full in _OF_LAYER:
        layers = [_OF_LAYER[full](model, layer) for layer in range(n_layers)]
        if len({tuple(one.shape) for one in layers}) > 1:
            raise EngineError(
                f"{name} has not one shape in all layers of “{model.name}”; ask for it layer by "
                f"layer, as in “blocks.0.{full}”."
            )
        return torch.stack(layers)
    question = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if question is None or question[2] not in _OF_LAYER:
        raise EngineError(
            f"“{name}” is no name of a weight; they are {', '.join(_OF_MODEL)} and, of a layer, "
            f"{', '.join(f'blocks.0.{one}' for one in _OF_LAYER)}."
        )
    if int(question[1]) >= n_layers:
        raise EngineError(
            f"There is no layer {question[1]} in “{model.name}”: it has {n_layers}, counted from 0."
        )
    return _OF_LAYER[question[2]](model, int(question[1]))


def shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """The shape of every weight that a model stores and that can be read, by full name, in the
    order a text goes through them. Biases that it does without are not among them."""
    before, behind = ("embed.W_E", "pos_embed.W_pos"), ("ln_final.w", "ln_final.b", "unembed.W_U")
    order = ("ln1.", "attn.", "ln1_post.", "ln2.", "mlp.", "ln2_post.")
    block = [one for part in order for one in _OF_LAYER if one.startswith(part)]
    inner = [f"blocks.{layer}.{one}" for layer in range(model.shape.n_layers) for one in block]
    result: dict[str, tuple[int, ...]] = {}
    for name in (*before, *inner, *behind, "unembed.b_U"):
        with contextlib.suppress(EngineError):  # that it has no such weight
            if _stores(model, name):
                result[name] = tuple(weight(model, name).shape)
    return result


def _stores(model: Model, name: str) -> bool:
    """Whether a bias is the model's own; of other names always."""
    *block, short = name.split(".")
    if not short.startswith("b_"):
        return True
    module = linear(model, short, int(block[1])).module if short != "b_U" else model.unembed
    return getattr(module, "bias", None) is not None
