"""Where in a Hugging Face model each activation passes, by its TransformerLens name.

The only module that knows TransformerLens: of a family's adapter it takes the names, never its
way of running a model. A place is a module of the model's own and the side of it on which the
activation passes.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from torch import nn
from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_config_from_hf

from ..errors import ModelError
from .cuts import Cuts
from .place import ALIASES, Layer, Place, Structure, inputs_of, submodule

logging.getLogger("transformer_lens").setLevel(logging.ERROR)


def find_places(hf: Any, architecture: str) -> Structure:
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
    cuts = Cuts(adapter)
    layers = tuple(_layer(block, names["blocks"], n_heads, groups, cuts) for block in blocks)
    _leave_shared(layers)
    return Structure(
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


def _layer(block: nn.Module, names: Any, n_heads: int, groups: int, cuts: Cuts) -> Layer:
    scale = getattr(names, "residual_contribution_scale", None)
    places = {"resid_pre": Place(block, True), "resid_post": Place(block, False)}
    scaled = {} if scale is None else {"attn_out": "attn.hook_out", "mlp_out": "mlp.hook_out"}
    aliases = ALIASES | scaled | (_BEHIND if _norms_behind(block, names) else {})
    for name, alias in aliases.items():
        result = _resolve(block, names, alias)
        if result is not None:
            places[name] = Place(
                *result,
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
    parts = _weighted(block, names, cuts)
    if "mlp.in" in parts and "mlp_out" in places:
        places["mlp_in"] = Place(parts["mlp.in"].module, True)
    return Layer(block, places, attention, mlp, parts)


_HEADS, _MLP = ("q_proj", "k_proj", "v_proj", "o_proj"), ("up_proj", "down_proj")
"""What transformers' families call the parts of attention and of an MLP."""


def _with_children(block: nn.Module, names: tuple[str, ...]) -> nn.Module | None:
    """The one module within a block that has linear layers of these names; None where there are
    more, or it is a part of experts, which are chosen by token."""
    result = [
        module
        for path, module in block.named_modules()
        if all(inputs_of(module._modules.get(name)) is not None for name in names)
        and "expert" not in path
    ]
    return result[0] if len(result) == 1 else None


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


def _weighted(block: nn.Module, names: Any, cuts: Cuts) -> dict[str, Place]:
    """A block's norms and the linear layers of its MLP, where this is no mixture of experts."""
    result = {name: _part_at(block, names, name) for name in _NORMS}
    norms = {name: Place(norm, False) for name, norm in result.items() if norm is not None}
    linear: dict[str, Place] = {}
    for name in ("in", "gate", "out"):
        for path in (f"mlp.dense_{name}", f"mlp.{name}"):  # dense layers among mixtures of experts
            module = _part_at(block, names, path)
            if module is not None and inputs_of(module) is not None:
                linear.setdefault(f"mlp.{name}", Place(module, False))
    component = (names.submodules or {}).get("mlp")
    mlp = None if component is None else submodule(block, component.name)
    if mlp is not None:
        linear |= cuts.gated(mlp, component)
    return norms | (linear if "mlp.in" in linear else {})  # else its “gate” is a router


def _part_at(block: nn.Module, names: Any, path: str) -> nn.Module | None:
    """The module of a block that its family's adapter calls by a name such as `attn.q_norm`."""
    component, module = names, block
    for step in path.split("."):
        component = (component.submodules or {}).get(step)
        result = None if component is None else submodule(module, component.name)
        if result is None:
            return None
        module = result
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
            module = submodule(module, component.name)
        if module is None:
            return None
        if last in ("hook_in", "hook_out"):
            return None if component.name is None else (module, last == "hook_in")
        further = (component.hook_aliases or {}).get(last)
        if isinstance(further, list) and component is names:  # the first that this block has
            each = (_resolve(block, names, one) for one in further)
            return next((result for result in each if result is not None), None)
        if not isinstance(further, str):
            return None
        path = further.split(".")
    return None


def _named(module: Any, names: Any) -> nn.Module | None:
    """The part of a module that an adapter's component names."""
    return None if names is None or names.name is None else submodule(module, names.name)


def _part(block: nn.Module, names: Any, name: str) -> nn.Module | None:
    component = (names.submodules or {}).get(name)
    return submodule(block, component.name) if component is not None and component.name else None


def _projects_heads(z: Place | None, n_heads: int) -> bool:
    """Whether what goes into the output projection can be cut into the heads."""
    width = None if z is None else inputs_of(z.module)
    return bool(n_heads and width and width % n_heads == 0)


def _is_neuron_place(post: Place | None) -> bool:
    """Whether single neurons are what goes into one linear layer; experts' are not."""
    return post is not None and post.goes_in and inputs_of(post.module) is not None
