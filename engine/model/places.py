"""Where in a Hugging Face model each activation passes, by its TransformerLens name.

The only module that knows TransformerLens: of a family's adapter it takes the names, never its
way of running a model. A place is a module of the model's own and the side of it on which the
activation passes. Where queries, keys and values come out of one projection, the adapter's own cut
of its weight says which of the outputs are which.
"""

from __future__ import annotations

import copy
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_config_from_hf

from ..errors import ModelError

logging.getLogger("transformer_lens").setLevel(logging.ERROR)

_ALIASES = {
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
NAMES = ("resid_pre", *_ALIASES, "resid_post", *SOFTMAX, "ln_final")


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
class Plan:
    """A model's layers, what comes behind them, and how many heads each layer has."""

    layers: tuple[Layer, ...]
    ln_final: nn.Module | None
    embed: nn.Module | None
    n_heads: int
    n_key_value_heads: int
    pos_embed: nn.Module | None = None


def find_places(hf: Any, architecture: str) -> Plan:
    """Find every place of a model. Raises: ModelError for a family TransformerLens has no names
    for, or whose modules are not where it says."""
    adapter = _adapter(hf, architecture)
    names = adapter.component_mapping
    try:
        blocks = list(hf.get_submodule(names["blocks"].name))
    except (AttributeError, KeyError) as wrong:
        raise ModelError(
            f"The blocks of {architecture} are not where they are looked for ({wrong}), so its "
            "heads cannot be reached one by one."
        ) from wrong
    n_heads = int(adapter.cfg.n_heads or 0)
    groups = int(getattr(adapter.cfg, "n_key_value_heads", None) or n_heads)
    if getattr(hf.config, "multi_query", True) is False:  # the adapters say one all the same
        groups = n_heads
    if getattr(hf.config, "new_decoder_architecture", False):  # Falcon's; its adapter says one
        groups = int(hf.config.num_kv_heads)
    cuts = _Cuts(adapter)
    layers = tuple(_layer(block, names["blocks"], n_heads, groups, cuts) for block in blocks)
    _leave_shared(layers)
    return Plan(
        layers=layers,
        ln_final=_named(hf, names.get("ln_final")),
        embed=hf.get_input_embeddings(),
        n_heads=n_heads,
        n_key_value_heads=groups,
        pos_embed=_named(hf, names.get("pos_embed")),
    )


def _leave_shared(layers: tuple[Layer, ...]) -> None:
    """Leave out the places in modules that several layers run: a change would act in all."""
    of = [{id(place.module) for place in layer.places.values()} for layer in layers]
    runs = Counter(module for own in of for module in own)
    for layer in layers:
        for name, place in list(layer.places.items()):
            if runs[id(place.module)] > 1:
                del layer.places[name]


def _adapter(hf: Any, architecture: str) -> Any:
    try:
        config = build_bridge_config_from_hf(hf.config, architecture, architecture, hf.dtype)
        return ArchitectureAdapterFactory.select_architecture_adapter(config)
    except Exception as wrong:
        raise ModelError(
            f"{architecture} is a family whose heads and MLPs have no names here yet "
            f"({type(wrong).__name__}: {str(wrong).strip()[:160]}), so it is not shown."
        ) from wrong


def _layer(block: nn.Module, names: Any, n_heads: int, groups: int, cuts: _Cuts) -> Layer:
    scale = getattr(names, "residual_contribution_scale", None)
    places = {"resid_pre": Place(block, True), "resid_post": Place(block, False)}
    scaled = {} if scale is None else {"attn_out": "attn.hook_out", "mlp_out": "mlp.hook_out"}
    aliases = _ALIASES | scaled | (_BEHIND if _norms_behind(block, names) else {})
    for name, alias in aliases.items():
        found = _resolve(block, names, alias)
        if found is not None:
            places[name] = Place(
                *found,
                heads={"q": n_heads, "z": n_heads, "k": groups, "v": groups}.get(name),
                scale=float(scale or 1.0) if name in scaled else 1.0,
            )
    attention, mlp = _part(block, names, "attn"), _part(block, names, "mlp")
    if not {"attn", "mlp"} & set(names.submodules or {}):  # the adapter sees no further than blocks
        attention, mlp = _with_children(block, _HEADS), _with_children(block, _MLP)
        places |= _by_children(block, attention, mlp, n_heads, groups)
    if attention is None or not _projects_heads(places.get("z"), n_heads):
        for name in ("q", "k", "v", "z"):
            places.pop(name, None)
    else:
        places |= cuts.joint(attention, (names.submodules or {}).get("attn"), n_heads, groups)
        places |= cuts.without_gates(places)
        norm = _part_at(block, names, "ln1")
        if "attn_out" in places and norm in list(places["attn_out"].module.modules()):
            places["attn_out"] = Place(places["z"].module, False)  # BERT's has the sum normed in it
    if not _is_neuron_place(places.get("post")):
        places.pop("post", None)
    return Layer(block, places, attention, mlp, _weighted(block, names, cuts))


_HEADS, _MLP = ("q_proj", "k_proj", "v_proj", "o_proj"), ("up_proj", "down_proj")
"""What transformers' families call the parts of attention and of an MLP."""


def _with_children(block: nn.Module, names: tuple[str, ...]) -> nn.Module | None:
    """The one module within a block that has linear layers of these names; None where there are
    more, or it is a part of experts, which are chosen by token."""
    found = [
        module
        for path, module in block.named_modules()
        if all(inputs_of(module._modules.get(name)) is not None for name in names)
        and "expert" not in path
    ]
    return found[0] if len(found) == 1 else None


def _by_children(
    block: nn.Module,
    attention: nn.Module | None,
    mlp: nn.Module | None,
    n_heads: int,
    groups: int,
) -> dict[str, Place]:
    """The places in attention and MLP, by what their linear layers are called. Of attention that is
    deeper within the block (Zamba 2: by way of another MLP) only the heads' outputs: what comes in
    and what goes on is not what its own projections give."""
    places: dict[str, Place] = {}
    if attention is not None:
        q, k, v, o = map(attention.get_submodule, _HEADS)
        places["z"] = Place(o, True, n_heads)
        if attention in block.children():
            places |= {"q": Place(q, False, n_heads), "k": Place(k, False, groups)}
            places |= {"v": Place(v, False, groups), "attn_out": Place(o, False)}
    if mlp is not None and mlp in block.children():
        places |= {
            "mlp_out": Place(mlp, False),
            "post": Place(mlp.get_submodule("down_proj"), True),
        }
    return places


_BEHIND = {"resid_mid": "mlp.hook_in", "attn_out": "ln2.hook_out"}
"""Where these pass in a block whose norms stand behind its attention and its MLP."""


def _norms_behind(block: nn.Module, names: Any) -> bool:
    """Whether, of a family with both kinds of blocks, this is one with its norms behind (the
    attention layers of OLMo's hybrids): what its adapter calls `ln2` is then the attention's."""
    has = {name: _part_at(block, names, name) is not None for name in ("ln1", "ln2", "ln2_post")}
    named = "ln1" in (names.submodules or {})
    return named and not has["ln1"] and has["ln2"] and has["ln2_post"]


_NORMS = ("ln1", "ln1_post", "ln2", "ln2_post", "attn.q_norm", "attn.k_norm")


def _weighted(block: nn.Module, names: Any, cuts: _Cuts) -> dict[str, Place]:
    """A block's norms and the linear layers of its MLP, where this is no mixture of experts."""
    found = {name: _part_at(block, names, name) for name in _NORMS}
    norms = {name: Place(norm, False) for name, norm in found.items() if norm is not None}
    linear: dict[str, Place] = {}
    for name in ("in", "gate", "out"):
        for path in (f"mlp.dense_{name}", f"mlp.{name}"):  # dense layers among mixtures of experts
            module = _part_at(block, names, path)
            if module is not None and inputs_of(module) is not None:
                linear.setdefault(f"mlp.{name}", Place(module, False))
    component = (names.submodules or {}).get("mlp")
    mlp = None if component is None else _submodule(block, component.name)
    if mlp is not None:
        linear |= cuts.gated(mlp, component)
    return norms | (linear if "mlp.in" in linear else {})  # else its “gate” is a router


def _part_at(block: nn.Module, names: Any, path: str) -> nn.Module | None:
    """The module of a block that its family's adapter calls by a name such as `attn.q_norm`."""
    component, module = names, block
    for step in path.split("."):
        component = (component.submodules or {}).get(step)
        found = None if component is None else _submodule(module, component.name)
        if found is None:
            return None
        module = found
    return None if component.name is None else module


def _resolve(block: nn.Module, names: Any, alias: str) -> tuple[nn.Module, bool] | None:
    """The module and side that an alias such as `mlp.hook_post` leads to within a block."""
    module: nn.Module | None = block
    component = names
    path = alias.split(".")
    while path:
        *inner, last = path
        for step in inner:
            component = (component.submodules or {}).get(step)
            if component is None or module is None:
                return None
            module = _submodule(module, component.name)
        if module is None:
            return None
        if last in ("hook_in", "hook_out"):
            return None if component.name is None else (module, last == "hook_in")
        further = (component.hook_aliases or {}).get(last)
        if isinstance(further, list) and component is names:  # the first that this block has
            each = (_resolve(block, names, one) for one in further)
            return next((found for found in each if found is not None), None)
        if not isinstance(further, str):
            return None
        path = further.split(".")
    return None


def _named(module: Any, names: Any) -> nn.Module | None:
    """The part of a module that an adapter's component names."""
    return None if names is None or names.name is None else _submodule(module, names.name)


def _part(block: nn.Module, names: Any, name: str) -> nn.Module | None:
    component = (names.submodules or {}).get(name)
    return _submodule(block, component.name) if component is not None and component.name else None


def _submodule(module: nn.Module, name: str | None) -> nn.Module | None:
    if name is None:
        return module
    try:
        found = module.get_submodule(name)
    except AttributeError:
        return None
    return found if isinstance(found, nn.Module) else None


def _projects_heads(z: Place | None, n_heads: int) -> bool:
    """Whether what goes into the output projection can be cut into the heads."""
    width = None if z is None else inputs_of(z.module)
    return bool(n_heads and width and width % n_heads == 0)


def _is_neuron_place(post: Place | None) -> bool:
    """Whether single neurons are what goes into one linear layer; experts' are not."""
    return post is not None and post.goes_in and inputs_of(post.module) is not None


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


class _Cuts:
    """Which outputs of a joint projection are queries, keys and values."""

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter
        self._known: dict[tuple[int, ...], dict[str, Tensor]] = {}

    def joint(
        self, attention: nn.Module, names: Any, n_heads: int, groups: int
    ) -> dict[str, Place]:
        """Places of q, k and v in a projection of all three; none where each has its own."""
        joint = None if names is None else (names.submodules or {}).get("qkv")
        projection = None if joint is None else _submodule(attention, joint.name)
        if joint is None or projection is None:
            return {}
        weight = projection.weight
        assert isinstance(weight, Tensor)
        shape = tuple(weight.shape)
        if shape not in self._known:
            self._known[shape] = self._columns(attention, joint.name, projection, names)
        return {
            part: Place(projection, False, n_heads if part == "q" else groups, columns)
            for part, columns in self._known[shape].items()
        }

    def without_gates(self, places: dict[str, Place]) -> dict[str, Place]:
        """The place of q in a projection that also gives, behind each head's query, its gate
        (Qwen3-Next); none for all others."""
        q, width = places.get("q"), inputs_of(places["z"].module)
        if q is None or width is None or not getattr(self._adapter.cfg, "gated_q_proj", False):
            return {}
        if outputs_of(q.module) != 2 * width:
            return {}
        each = torch.arange(2 * width).view(q.heads or 1, 2, -1)
        return {"q": replace(q, columns=each[:, 0].flatten())}

    def gated(self, mlp: nn.Module, names: Any) -> dict[str, Place]:
        """Gate and input of an MLP that has them in one projection; none where each is its own."""
        cut, name = getattr(names, "split_gate_up_matrix", None), getattr(names, "fused_attr", "")
        projection = _submodule(mlp, name) if name else None
        if cut is None or projection is None or inputs_of(projection) is None:
            return {}
        try:
            gate, up = cut(_numbered(mlp, name, projection, narrow=True))
        except Exception:  # an adapter that cannot cut it: they are not offered
            return {}
        columns = {"mlp.gate": _numbers(gate), "mlp.in": _numbers(up)}
        return {part: Place(projection, False, columns=some) for part, some in columns.items()}

    def _columns(
        self, attention: nn.Module, name: str, projection: nn.Module, names: Any
    ) -> dict[str, Tensor]:
        layout = interleaved_groups(attention)
        if layout is not None:
            return layout
        cut = getattr(names, "split_qkv_matrix", None) or getattr(
            self._adapter, "split_qkv_matrix", None
        )
        if cut is None:
            return {}
        try:
            parts = cut(_numbered(attention, name, projection))
        except Exception:  # an adapter that cannot cut it: its q, k and v are not offered
            return {}
        return {part: _numbers(one) for part, one in zip("qkv", parts, strict=True)}


def _numbered(
    holder: nn.Module, name: str, projection: nn.Module, narrow: bool = False
) -> nn.Module:
    """A module with a projection in it whose weight says, for each output, its number. `narrow`:
    to one input, where the cut does not ask how many there are."""
    weight = projection.weight
    assert isinstance(weight, Tensor)
    transposed = hasattr(projection, "nf")  # Conv1D: [d_in d_out]
    n = weight.shape[1 if transposed else 0]
    each = torch.arange(n, dtype=torch.float64)
    rows = each[None] if transposed else each[:, None]
    numbered = copy.copy(projection)
    numbered._parameters = {
        "weight": nn.Parameter(
            rows.clone() if narrow else rows.expand(tuple(weight.shape)).clone(),
            requires_grad=False,
        ),
        "bias": nn.Parameter(each, requires_grad=False),  # some cuts fail without, as GPT-NeoX's
    }
    stand_in = copy.copy(holder)
    stand_in._modules = {**holder._modules, name: numbered}
    return stand_in


def _numbers(part: Any) -> Tensor:
    weight = part.weight.detach().double()
    rows = weight[:, 0] if not hasattr(part, "nf") else weight[0]
    if (weight.diff(dim=0 if hasattr(part, "nf") else 1) != 0).any():
        rows = weight[0]
    return rows.round().long()


def interleaved_groups(attention: nn.Module) -> dict[str, Tensor] | None:
    """The outputs of a projection that adapters cannot cut: for each key-value head its queries,
    then its key, then its value (Falcon's newer one, transformers' `FalconAttention._split_heads`,
    and GPTBigCode's where keys are not shared). None for all others."""
    if getattr(attention, "new_decoder_architecture", False):
        groups = int(attention.num_kv_heads)  # type: ignore[arg-type]
    elif hasattr(attention, "c_attn") and getattr(attention, "multi_query", True) is False:
        groups = int(attention.num_heads)  # type: ignore[arg-type]
    else:
        return None
    each = int(attention.num_heads) // groups  # type: ignore[arg-type]
    width = int(attention.head_dim)  # type: ignore[arg-type]
    numbers = torch.arange(groups * (each + 2) * width).view(groups, each + 2, width)
    return {
        "q": numbers[:, :each].flatten(),
        "k": numbers[:, each].flatten(),
        "v": numbers[:, each + 1].flatten(),
    }


def every_place(plan: Plan) -> Iterator[tuple[str, int, Place]]:
    """All places of a model that are modules', by name and layer."""
    for i, layer in enumerate(plan.layers):
        for name, place in layer.places.items():
            yield name, i, place
