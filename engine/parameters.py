"""A model's weights at the door, by TransformerLens name: what a notebook reads of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from .errors import EngineError
from .model import weights as by_name
from .registry import load

_PER_HEAD = ("W_K", "W_V", "b_K", "b_V")


@dataclass(frozen=True, eq=False)
class Weights(Mapping[str, np.ndarray]):
    """The weights of a model by TransformerLens name, each read when it is asked for, as
    `engine.weight` reads it: `weights["blocks.3.attn.W_Q"]`.

    `shapes`: of every weight that the model stores and that can be read, in the order a text goes
    through them. Biases that a model does without are not listed, and read as zeros.
    """

    model: str
    shapes: Mapping[str, tuple[int, ...]] = field(repr=False)

    def __getitem__(self, name: str) -> np.ndarray:
        return weight(self.model, name)

    def __contains__(self, name: object) -> bool:
        return name in self.shapes

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def weights(model: str) -> Weights:
    """The weights of a model, none of them read yet.

    Returns: Weights, with `shapes` by name. Raises: ModelError for a model that cannot be loaded.
    """
    loaded = load(model)
    return Weights(model, loaded.worker.run(lambda: by_name.shapes(loaded)))


def weight(model: str, name: str, per_query_head: bool = False) -> np.ndarray:
    """One weight of a model, by its TransformerLens name.

    Returns: a copy, float32, without a unit, the stored numbers: nothing is folded or centred.
    Axes, of `blocks.3.` and so on (without it, of all layers: `W_Q` is [layer head_index …]):

        attn.W_Q       [head_index d_model d_head]         attn.b_Q       [head_index d_head]
        attn.W_K, W_V  [n_key_value_heads d_model d_head]  attn.b_K, b_V  [n_key_value_heads d_head]
        attn.W_O       [head_index d_head d_model]         attn.b_O       [d_model]
        mlp.W_in, mlp.W_gate  [d_model d_mlp]              mlp.b_in, mlp.b_gate  [d_mlp]
        mlp.W_out      [d_mlp d_model]                     mlp.b_out      [d_model]
        ln1.w, ln1.b, ln1_post.w, ln2.w, ln2.b, ln2_post.w [d_model]
        attn.q_norm.w, attn.k_norm.w                       as the family has them

    and of the model itself

        embed.W_E      [d_vocab d_model]                   pos_embed.W_pos [n_ctx d_model]
        unembed.W_U    [d_model d_vocab]                   unembed.b_U     [d_vocab]
        ln_final.w, ln_final.b                             [d_model]

    `per_query_head`: W_K, W_V, b_K and b_V with [head_index …] in front, query heads that share
    one having the same. A bias that the model does without is zeros. Norms multiply by w; those of
    Gemma 1 to 3, Nemotron, Qwen 3 Next and 3.5, and a few more, by 1 + w.
    Raises: EngineError for a name or layer there is not, for a weight that the family does not
    have (a mixture of experts has no one W_in, latent attention no W_Q), and for quantized ones.
    """
    if not isinstance(name, str):
        raise EngineError(f"A weight is named by a text, not by {name!r:.60}.")
    short = name.rpartition(".")[2]
    if per_query_head and short not in _PER_HEAD:
        raise EngineError(
            f"{name} is not of key-value heads, so there is nothing to have per query head; "
            f"{', '.join(_PER_HEAD)} are."
        )
    loaded = load(model)
    along = 0 if name.startswith("blocks.") else 1

    def read() -> np.ndarray:
        result = by_name.weight(loaded, name)
        if per_query_head:
            result = by_name.per_query_head(loaded, result, along)
        return result.float().cpu().numpy().copy()

    return loaded.worker.run(read)
