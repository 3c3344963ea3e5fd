"""What a change is in each family, said again without a line of the engine or of TransformerLens.

Plain torch hooks on the Hugging Face model, eager attention, no cache, texts of one length, each
with changes of its own. Where things are in a family is written here by hand, as transformers' own
modelling code has it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForCausalLM

PLACES = (
    "resid_pre", "q", "k", "v", "pattern", "z", "attn_out", "resid_mid", "post", "mlp_out",
    "resid_post",
)  # fmt: skip
"""In the order in which a block comes to them."""


@dataclass(frozen=True)
class Paths:
    """Where a family has what; several paths are alternatives, of which a layer has one at most.

    `attention`: the module that takes the softmax. `out`: the projection of all heads. `q`, `k`,
    `v`: their projections, or the joint one of all three in `joint`, with its `layout`. `adds_z`,
    `adds_mlp`: the modules whose outputs, times `scale`, go into the stream. `last`: the linear
    layer whose inputs are the neurons. `mid`: how the stream between attention and MLP comes
    about: "sum" of what entered and what attention adds; "out PATH", what that module gives; "in
    PATH", what it is given, where the stream itself goes no further; "" where the two stand side by
    side. `beside`: what a block adds besides, on its way to the MLP.
    """

    layers: str = "model.layers"
    attention: str = "self_attn"
    out: str = "self_attn.o_proj"
    q: str = "self_attn.q_proj"
    k: str = "self_attn.k_proj"
    v: str = "self_attn.v_proj"
    joint: str = ""
    layout: str = "in turn"
    adds_z: tuple[str, ...] = ("self_attn.o_proj",)
    adds_mlp: tuple[str, ...] = ("mlp",)
    last: tuple[str, ...] = ("mlp.down_proj",)
    scale: str = ""
    mid: str = "sum"
    beside: tuple[str, ...] = ()
    sink: bool = False


_USUAL = Paths()
_BEHIND = replace(
    _USUAL,
    adds_z=("post_attention_layernorm",),
    adds_mlp=("post_feedforward_layernorm",),
)
_GPT2 = Paths(
    layers="transformer.h", attention="attn", out="attn.c_proj", joint="attn.c_attn",
    adds_z=("attn.c_proj",), last=("mlp.c_proj",),
)  # fmt: skip
_BLOOM = Paths(
    layers="transformer.h", attention="self_attention", out="self_attention.dense",
    joint="self_attention.query_key_value", layout="by head", adds_z=("self_attention.dense",),
    adds_mlp=("mlp.dense_4h_to_h",), last=("mlp.dense_4h_to_h",),
)  # fmt: skip
_FALCON = replace(_BLOOM, adds_mlp=("mlp",), layout="in turn", mid="")
_NEOX = Paths(
    layers="gpt_neox.layers", attention="attention", out="attention.dense",
    joint="attention.query_key_value", layout="by head", adds_z=("attention.dense",),
    last=("mlp.dense_4h_to_h",), mid="",
)  # fmt: skip
_GPTJ = Paths(
    layers="transformer.h", attention="attn", out="attn.out_proj", q="attn.q_proj",
    k="attn.k_proj", v="attn.v_proj", adds_z=("attn.out_proj",), last=("mlp.fc_out",), mid="",
)  # fmt: skip
_OPT = replace(
    _USUAL, layers="model.decoder.layers", out="self_attn.out_proj", adds_mlp=("fc2",),
    adds_z=("self_attn.out_proj",), last=("fc2",),
)  # fmt: skip
_GRANITE = replace(_USUAL, scale="residual_multiplier")
_HYBRID = replace(
    _USUAL, adds_z=("mamba", "self_attn.o_proj"), adds_mlp=("feed_forward",),
    last=("feed_forward.down_proj",),
)  # fmt: skip
_LINEAR = replace(_USUAL, adds_z=("linear_attn", "self_attn.o_proj"), layout="gate behind")
_LFM2 = replace(
    _USUAL, out="self_attn.out_proj", adds_z=("conv", "self_attn.out_proj"),
    adds_mlp=("feed_forward",), last=("feed_forward.w2",),
)  # fmt: skip
_LATENT = replace(_USUAL, q="", k="", v="")
_SIDE_BY_SIDE = replace(_USUAL, mid="")

PATHS: dict[str, Paths] = {
    **dict.fromkeys(
        ["apertus", "arcee", "bitnet", "ernie4_5", "ernie4_5_moe", "exaone", "gemma", "glm",
         "glm4_moe", "hunyuan_v1_dense", "internlm3", "iquestcoder", "jais2", "laguna", "llama",
         "minimax_m2", "ministral3", "mistral", "mixtral", "nemotron", "olmo", "olmoe", "qwen2",
         "qwen2_moe", "qwen3", "qwen3_moe", "sarvam_moe", "seed_oss", "smollm3", "stablelm",
         "vaultgemma"],
        _USUAL,
    ),
    **dict.fromkeys(["cohere", "cohere2", "stablelm, side by side"], _SIDE_BY_SIDE),
    **dict.fromkeys(
        ["exaone4", "flex_olmo", "gemma2", "gemma3_text", "gemma4_text", "olmo2", "olmo3"], _BEHIND
    ),
    **dict.fromkeys(
        ["deepseek_v2", "deepseek_v3", "glm4_moe_lite", "glm_moe_dsa", "sarvam_mla", "youtu"],
        _LATENT,
    ),
    **dict.fromkeys(["bamba", "jamba"], _HYBRID),
    **dict.fromkeys(["qwen3_5_text", "qwen3_5_moe_text", "qwen3_next"], _LINEAR),
    **dict.fromkeys(["gpt2", "gpt-sw3"], _GPT2),
    "afmoe": replace(_BEHIND, adds_mlp=("post_mlp_layernorm",)),
    "bert": Paths(
        layers="bert.encoder.layer", attention="attention.self", out="attention.output.dense",
        q="attention.self.query", k="attention.self.key", v="attention.self.value",
        adds_z=("attention.output.dense",), adds_mlp=("output.dense",), last=("output.dense",),
        mid="out attention.output.LayerNorm",
    ),
    "bloom": _BLOOM,
    "bloom, residual after the norm": replace(_BLOOM, mid="in post_attention_layernorm"),
    "codegen": replace(_GPTJ, joint="attn.qkv_proj", layout="by four, queries, values, keys"),
    "falcon": _FALCON,
    "falcon, no shared keys": replace(_FALCON, layout="by head"),
    "falcon, new layout": replace(_FALCON, layout="by group"),
    "falcon, alibi, one after the other": replace(_FALCON, layout="by head", mid="sum"),
    "falcon_h1": replace(_HYBRID, adds_z=("self_attn.o_proj",), beside=("mamba",)),
    "glm4": replace(
        _USUAL, adds_z=("post_self_attn_layernorm",), adds_mlp=("post_mlp_layernorm",)
    ),
    "gpt_bigcode": _GPT2,
    "gpt_bigcode, no shared keys": replace(_GPT2, layout="by head"),
    "gpt_neo": Paths(
        layers="transformer.h", attention="attn.attention", out="attn.attention.out_proj",
        q="attn.attention.q_proj", k="attn.attention.k_proj", v="attn.attention.v_proj",
        adds_z=("attn.attention.out_proj",), last=("mlp.c_proj",),
    ),
    "gpt_neox": _NEOX,
    "gpt_neox, one after the other": replace(_NEOX, mid="sum"),
    "gpt_oss": replace(_USUAL, sink=True),
    "gptj": _GPTJ,
    "granite": _GRANITE,
    "granitemoe": replace(_GRANITE, adds_mlp=("block_sparse_moe",), last=()),
    "granitemoehybrid": replace(
        _GRANITE, adds_z=("mamba", "self_attn.o_proj"), adds_mlp=(), last=()
    ),
    "granitemoehybrid, no experts": replace(
        _GRANITE, adds_z=("mamba", "self_attn.o_proj"), adds_mlp=("shared_mlp",),
        last=("shared_mlp.output_linear",),
    ),
    "lfm2": _LFM2,
    "lfm2_moe": _LFM2,
    "llama4_text": replace(
        _USUAL, adds_mlp=("feed_forward",), last=("feed_forward.down_proj",)
    ),
    "modernbert-decoder": Paths(
        attention="attn", out="attn.Wo", q="attn.q_proj", k="attn.k_proj", v="attn.v_proj",
        adds_z=("attn.Wo",), last=("mlp.Wo",),
    ),
    "mpt": Paths(
        layers="transformer.blocks", attention="attn", out="attn.out_proj", joint="attn.Wqkv",
        adds_z=("attn.out_proj",), adds_mlp=("ffn.down_proj",), last=("ffn.down_proj",),
    ),
    "nanochat": replace(_USUAL, last=("mlp.fc2",)),
    "olmo_hybrid": replace(
        _USUAL, adds_z=("linear_attn", "post_attention_layernorm"),
        adds_mlp=("post_feedforward_layernorm", "mlp"),
    ),
    "nemotron_h": Paths(
        attention="mixer", out="mixer.o_proj", q="mixer.q_proj", k="mixer.k_proj",
        v="mixer.v_proj", adds_z=("mixer.o_proj",), adds_mlp=("mixer.down_proj",),
        last=("mixer.down_proj",), mid="",
    ),
    "openai-gpt": replace(_GPT2, mid="out ln_1"),
    "opt": _OPT,
    "opt, norms behind": replace(_OPT, mid="out self_attn_layer_norm"),
    "phi": Paths(
        out="self_attn.dense", adds_z=("self_attn.dense",), last=("mlp.fc2",), mid=""
    ),
    "phi3": replace(_USUAL, joint="self_attn.qkv_proj"),
    "recurrent_gemma": Paths(
        attention="temporal_block", out="temporal_block.o_proj", q="temporal_block.q_proj",
        k="temporal_block.k_proj", v="temporal_block.v_proj", adds_z=("temporal_block.o_proj",),
        adds_mlp=("mlp_block",), last=("mlp_block.down_proj",),
    ),
    "starcoder2": replace(_USUAL, last=("mlp.c_proj",)),
    "xglm": replace(_OPT, layers="model.layers"),
    "zamba2": Paths(
        attention="shared_transformer.self_attn", out="shared_transformer.self_attn.o_proj",
        q="", k="", v="", adds_mlp=(), last=(), mid="",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """What is at a place, at these positions and heads or neurons (None: all), becomes
    `become(old)`; old is [positions, index, ...], of a pattern [positions, heads, keys]."""

    place: str
    layer: int
    index: tuple[int, ...] | None
    positions: tuple[int, ...]
    become: Callable[[Tensor], Tensor]

    def made(self, old: Tensor) -> Tensor:
        """old, [pos, ...], with the change in it."""
        new = old.clone()
        at = list(self.positions)
        if self.index is None:
            new[at] = self.become(old[at])
        else:
            rows = torch.tensor(at)[:, None]
            new[rows, list(self.index)] = self.become(old[rows, list(self.index)])
        return new


@dataclass(frozen=True)
class _Act:
    """What is done to what rows have at a place: `does` takes and gives [rows, pos, ...]."""

    n_rows: int
    does: Callable[[Tensor], Tensor]

    def __call__(self, whole: Tensor) -> Tensor:
        """The same for [rows, pos, width], or with rows and positions one after the other."""
        by_row = whole.reshape(self.n_rows, -1, whole.shape[-1])
        return self.does(by_row).reshape(whole.shape)


def acts_at(positions: Any, n_prompt: int, n: int) -> tuple[int, ...]:
    """Those of n tokens, the prompt's first, at which a change acts, worked out by itself."""
    own = {i % n_prompt for i in positions.indices}
    here = {
        "all": lambda _: True,
        "prompt": lambda p: p < n_prompt,
        "generated": lambda p: p >= n_prompt,
        "indices": lambda p: p in own,
    }[positions.which]
    return tuple(filter(here, range(n)))


class FamilyReference:
    """A Hugging Face model with hooks of its own."""

    def __init__(self, member: str, directory: Path) -> None:
        self.hf: Any = AutoModelForCausalLM.from_pretrained(
            directory, attn_implementation="eager", dtype=torch.float32
        ).eval()
        self._rotary = copy.deepcopy(getattr(self.hf.base_model, "rotary_emb", None))
        kind = member.split(",")[0]
        self.paths = PATHS[member] if member in PATHS else PATHS[kind]
        self.layers = list(self.hf.get_submodule(self.paths.layers))
        config = self.hf.config.get_text_config()
        self.n_heads = config.num_attention_heads
        self.n_groups = _groups(config) or self.n_heads
        self.scale = float(getattr(config, self.paths.scale)) if self.paths.scale else 1.0
        self._seen: dict[tuple[Any, ...], Tensor] = {}

    def has(self, place: str, layer: int) -> bool:
        """Whether a layer has such a place."""
        own, paths = self.layers[layer], self.paths
        with_heads = _first(own, (paths.out,)) is not None
        match place:
            case "z" | "pattern" | "attn_out":
                return with_heads
            case "q" | "k" | "v":
                path = paths.joint or getattr(paths, place)
                return with_heads and bool(path) and _first(own, (path,)) is not None
            case "resid_mid":
                return bool(paths.mid)
            case "mlp_out":
                return _first(own, paths.adds_mlp) is not None
            case "post":
                return _first(own, paths.last) is not None
        return True

    def size(self, place: str, layer: int) -> int | None:
        """How many heads or neurons a place has; None for a whole vector."""
        match place:
            case "z" | "q" | "pattern":
                return int(self.n_heads)
            case "k" | "v":
                return int(self.n_groups)
            case "post":
                return _inputs(_first(self.layers[layer], self.paths.last))
        return None

    def logits(self, ids: Iterable[int], changes: Iterable[Change] = ()) -> Tensor:
        """[pos, vocab] of one text with changes made, those of one place in the order given."""
        return self.each_logits([(tuple(ids), tuple(changes))])[0]

    def each_logits(self, rows: Sequence[tuple[Sequence[int], Sequence[Change]]]) -> Tensor:
        """[rows, pos, vocab] of texts of one length, each with its own changes made."""
        if self._rotary is not None:  # some remember the longest text that they have seen
            config = getattr(self._rotary, "config", None)
            self.hf.base_model.rotary_emb = copy.deepcopy(self._rotary, {id(config): config})
        at: dict[tuple[str, int], list[tuple[int, Change]]] = {}
        for row, (_, changes) in enumerate(rows):
            for change in changes:
                at.setdefault((change.place, change.layer), []).append((row, change))
        with torch.no_grad(), ExitStack() as stack:
            for place, layer in sorted(at, key=lambda one: PLACES.index(one[0])):
                self._enter(stack, place, layer, _Act(len(rows), partial(_made, at[place, layer])))
            ids = torch.tensor([list(ids) for ids, _ in rows])
            found: Tensor = self.hf(input_ids=ids, use_cache=False).logits
            return found

    def trusted(self, ids: Sequence[int], changes: Iterable[Change] = ()) -> float:
        """How far apart logits come out when the stream entering each block differs in its last
        digits: no two ways of working them out can be asked to be nearer."""
        every = tuple(range(len(ids)))

        def noise(seed: int) -> list[Change]:
            random = torch.Generator().manual_seed(seed)

            def unsure(old: Tensor) -> Tensor:
                return old * (1 + 2e-7 * torch.randn(old.shape, generator=random))

            return [Change("resid_pre", i, None, every, unsure) for i in range(len(self.layers))]

        own = tuple(changes)
        found = self.each_logits([(ids, own), *((ids, (*own, *noise(i))) for i in range(4))])
        return float((found[1:] - found[0]).abs().max())

    def values(
        self, ids: Sequence[int], places: Sequence[tuple[str, int]]
    ) -> dict[tuple[str, int], Tensor]:
        """What is at places in a clean run, of a text read once: [pos, index, ...], of a pattern
        [pos, heads, keys]."""
        text = (self.hf.dtype, *ids)
        new = [at for at in places if (text, at) not in self._seen]
        if new:
            (found,) = self.each_values([(ids, new)])
            self._seen |= {(text, at): value for at, value in found.items()}
        return {at: self._seen[text, at].clone() for at in places}

    def each_values(
        self, rows: Sequence[tuple[Sequence[int], Sequence[tuple[str, int]]]]
    ) -> list[dict[tuple[str, int], Tensor]]:
        """The same of texts of one length, each at places of its own."""
        seen: list[dict[tuple[str, int], Tensor]] = [{} for _ in rows]

        def looking(row: int, at: tuple[str, int]) -> Change:
            def look(old: Tensor) -> Tensor:
                seen[row][at] = old.clone()
                return old

            return Change(*at, None, tuple(range(len(rows[row][0]))), look)

        self.each_logits(
            [(ids, [looking(row, at) for at in places]) for row, (ids, places) in enumerate(rows)]
        )
        return seen

    def _enter(self, stack: ExitStack, place: str, layer: int, act: _Act) -> None:
        own, paths = self.layers[layer], self.paths
        match place:
            case "resid_pre":
                stack.callback(_before(own, act))
            case "resid_post":
                stack.callback(_after(own, act))
            case "resid_mid":
                self._between(stack, own, act)
            case "attn_out":
                module = _first(own, paths.adds_z)
                stack.callback(_after(module, _scaled(self.scale, act)))
            case "mlp_out":
                module = _first(own, paths.adds_mlp)
                stack.callback(_after(module, _scaled(self.scale, act)))
            case "post":
                stack.callback(_before(_first(own, paths.last), act))
            case "z":
                module = _first(own, (paths.out,))
                stack.callback(_before(module, _cut(self.n_heads, None, act)))
            case "pattern":
                attention = own.get_submodule(paths.attention)
                stack.enter_context(self._softmax_changed(attention, act))
            case part:
                n = self.n_heads if part == "q" else self.n_groups
                module = own.get_submodule(paths.joint or getattr(paths, part))
                columns = self._columns(part, module)
                stack.callback(_after(module, _cut(n, columns, act)))

    def _between(self, stack: ExitStack, own: nn.Module, act: _Act) -> None:
        how, _, path = self.paths.mid.partition(" ")
        if how == "out":
            stack.callback(_after(own.get_submodule(path), act))
            return
        if how == "in":
            stack.callback(_before(own.get_submodule(path), act))
            return
        entering: list[Tensor] = []
        others: list[Tensor] = []

        def enters(stream: Tensor) -> Tensor:
            entering[:] = [stream.clone()]
            return entering[0]

        def taken(added: Tensor) -> Tensor:
            others.append(added)
            return torch.zeros_like(added)

        def joined(added: Tensor) -> Tensor:
            old = entering[0] + sum(others, added)
            entering[0].zero_()  # the sum that the block now takes is the new stream to the bit
            return act.does(old)

        stack.callback(_before(own, replace(act, does=enters)))
        for path in self.paths.beside:
            stack.callback(_after(own.get_submodule(path), replace(act, does=taken)))
        module = _first(own, self.paths.adds_z)
        stack.callback(_after(module, _scaled(self.scale, replace(act, does=joined))))

    @contextmanager
    def _softmax_changed(self, attention: nn.Module, act: _Act) -> Iterator[None]:
        """While this module runs, change what softmax gives over [rows heads pos keys]; where there
        is a sink, the last column is no key."""
        patches: list[Any] = []
        times = [0]

        def around(own: Callable[..., Tensor]) -> Callable[..., Tensor]:
            def softmax(given: Tensor, *args: Any, **kwargs: Any) -> Tensor:
                whole = own(given, *args, **kwargs)
                n = self.n_heads * whole.shape[-2:].numel()
                if whole.ndim < 3 or whole.numel() % n or whole.numel() // n != act.n_rows:
                    return whole
                times[0] += 1
                pattern = whole.reshape(act.n_rows, self.n_heads, *whole.shape[-2:])
                keys = pattern.shape[-1] - self.paths.sink
                new = act.does(pattern[..., :keys].transpose(1, 2)).transpose(1, 2)
                return torch.cat([new, pattern[..., keys:]], -1).reshape(whole.shape)

            return softmax

        def begin(_m: nn.Module, _args: tuple) -> None:
            for where in (functional, torch):
                patches.append(patch.object(where, "softmax", around(where.softmax)))
            for one in patches:
                one.start()

        def end(_m: nn.Module, _args: tuple, _out: Any) -> None:
            while patches:
                patches.pop().stop()

        handles = [
            attention.register_forward_pre_hook(begin),
            attention.register_forward_hook(end, prepend=True),  # the last to begin ends first
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            while patches:  # where the module itself failed
                patches.pop().stop()
        assert times[0] == 1, f"{type(attention).__name__} took {times[0]} softmaxes"

    def _columns(self, part: str, module: nn.Module | None) -> Tensor | None:
        """Which outputs of a projection are those of its queries, keys or values."""
        if not self.paths.joint:
            if self.paths.layout == "gate behind" and part == "q":  # each head's query, its gate
                return torch.arange(_outputs(module)).view(self.n_heads, 2, -1)[:, 0].flatten()
            return None
        each, which = torch.arange(_outputs(module)), "qkv".index(part)
        n, m = self.n_heads, self.n_groups
        match self.paths.layout:
            case "in turn":
                d = len(each) // (n + 2 * m)
                return each.split([n * d, m * d, m * d])[which]
            case "by head":
                return each.view(n, 3, -1)[:, which].flatten()
            case "by group":
                groups = each.view(m, n // m + 2, -1)
                return [groups[:, :-2], groups[:, -2], groups[:, -1]][which].flatten()
        return each.view(4, 3, -1)[:, "qvk".index(part)].flatten()


def _groups(config: Any) -> int | None:
    if config.model_type == "falcon" and not config.new_decoder_architecture:
        return 1 if config.multi_query else None
    if config.model_type == "gpt_bigcode":
        return 1 if config.multi_query else None
    for name in ("num_kv_heads", "num_key_value_heads"):
        if isinstance(getattr(config, name, None), int):
            return int(getattr(config, name))
    return None


def _first(own: nn.Module, paths: Iterable[str]) -> nn.Module | None:
    for path in paths:
        try:
            return own.get_submodule(path)
        except AttributeError:
            continue
    return None


def _inputs(module: Any) -> int:
    return int(module.weight.shape[0] if hasattr(module, "nf") else module.weight.shape[1])


def _outputs(module: Any) -> int:
    return int(module.weight.shape[1] if hasattr(module, "nf") else module.weight.shape[0])


def _made(changes: Iterable[tuple[int, Change]], whole: Tensor) -> Tensor:
    """whole, [rows, pos, ...], with the changes of some rows in it."""
    new = whole.clone()
    for row, change in changes:
        new[row] = change.made(new[row])
    return new


def _before(module: nn.Module | None, act: _Act) -> Callable[[], None]:
    assert module is not None

    def hook(_m: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if args:
            return (act(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": act(kwargs["hidden_states"])}

    return module.register_forward_pre_hook(hook, with_kwargs=True).remove


def _after(module: nn.Module | None, act: _Act) -> Callable[[], None]:
    assert module is not None

    def hook(_m: nn.Module, _args: tuple, out: Any) -> Any:
        return act(out) if isinstance(out, Tensor) else type(out)([act(out[0]), *out[1:]])

    return module.register_forward_hook(hook).remove


def _scaled(scale: float, act: _Act) -> _Act:
    return replace(act, does=lambda given: act.does(given * scale) / scale)


def _cut(n: int, columns: Tensor | None, act: _Act) -> _Act:
    """Act on heads, [rows, pos, n, d_head], that are some of the columns of [rows, pos, width]."""

    def cut(whole: Tensor) -> Tensor:
        where = torch.arange(whole.shape[-1]) if columns is None else columns
        new = whole.clone()
        heads = act.does(whole[..., where].reshape(*whole.shape[:-1], n, -1))
        new[..., where] = heads.flatten(-2)
        return new

    return replace(act, does=cut)
