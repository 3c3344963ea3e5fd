"""What a place in a model is: the module through which an activation passes, by its
TransformerLens name, and on which side of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

ALIASES = {
    "resid_mid": "hook_resid_mid",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "post": "mlp.hook_post",
    "q": "attn.hook_q",
    "k": "attn.hook_k",
    "v": "attn.hook_v",
    "z": "attn.hook_z",
}
SOFTMAX = ("attn_scores", "pattern")
"""Seen within attention itself, before and after its softmax."""
NAMES = ("resid_pre", *ALIASES, "mlp_in", "resid_post", *SOFTMAX, "ln_final")


@dataclass(frozen=True, eq=False)
class Place:
    """A module through which an activation passes, and how it is to be read there.

    `goes_in`: the activation is what the module is given, else what it gives. `heads`: into how
    many its last axis is cut, None for a whole vector. `columns`: which of the last axis belong to
    it, None for all. `scale`: what the block multiplies it by on its way to the residual stream.
    """

    module: nn.Module
    goes_in: bool
    heads: int | None = None
    columns: Tensor | None = None
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class Layer:
    """One block: its places by name, and its parts. `attention`: where its softmax is taken;
    `output`: the projection that joins its heads, None in a block without heads. `parts`: where
    norms and the MLP's linear layers give what they make, by the part's name, as in `mlp.gate`."""

    block: nn.Module
    places: dict[str, Place]
    attention: nn.Module | None
    mlp: nn.Module | None
    parts: dict[str, Place] = field(default_factory=dict)

    @property
    def output(self) -> nn.Module | None:
        """The projection that joins the heads."""
        return self.places["z"].module if "z" in self.places else None


@dataclass(frozen=True, eq=False)
class Structure:
    """A model's layers, what comes behind them, and how many heads each layer has."""

    layers: tuple[Layer, ...]
    ln_final: nn.Module | None
    embed: nn.Module | None
    n_heads: int
    n_key_value_heads: int
    pos_embed: nn.Module | None = None


def submodule(module: nn.Module, name: str | None) -> nn.Module | None:
    """The module of that name within another, itself without a name; None where there is none."""
    if name is None:
        return module
    try:
        result = module.get_submodule(name)
    except AttributeError:
        return None
    return result if isinstance(result, nn.Module) else None


def inputs_of(module: nn.Module | None) -> int | None:
    """How many numbers a linear layer takes; None for what is no linear layer."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        return None
    return int(weight.shape[0] if hasattr(module, "nf") else weight.shape[1])


def outputs_of(module: nn.Module) -> int | None:
    """How many numbers a linear layer gives; None for what is no linear layer."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        return None
    return int(weight.shape[1] if hasattr(module, "nf") else weight.shape[0])
