"""Attention as a model's own code works it out, its softmax seen and changed on the way.

Every family that asks transformers' attention interface for its kernel is given `attend`: by itself
the fused kernel, where the family has one that gives its eager numbers; a layer whose scores or
pattern are wanted goes by the family's own eager function instead, layer by layer. Families with
attention written into their modules always go eagerly. In both, what is seen is the one softmax
within the attention module: what goes in are the scores (after scaling, caps and mask), what comes
out is the pattern, and what is put in the pattern's place is used as it is.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from ..errors import EngineError

NAME = "switchboard"
Act = Callable[[Tensor], Tensor | None]
_SOFTMAX = {torch.softmax, functional.softmax, Tensor.softmax, torch.special.softmax}
_CAPPED = ("softcap", "s_aux")
"""Arguments that change the scores and that the fused kernel does not heed."""

_eager: WeakSet[nn.Module] = WeakSet()
"""Attention modules that go by their family's eager function in the pass under way, or always."""
_seen_by: WeakKeyDictionary[nn.Module, list[nn.Module]] = WeakKeyDictionary()
"""For a model being looked at: the modules that came to `attend`."""


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """What the interface calls: query [rows heads pos d_head], key and value by key-value head.

    Returns: [rows pos heads d_head], and the pattern where it was worked out.
    """
    if module in _seen_by:
        _seen_by[module].append(module)
    capped = any(options.get(name) is not None for name in _CAPPED)
    if not capped and module not in _eager:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    own = _eager_function(module)
    if own is None:
        raise EngineError(
            f"{type(module).__name__} has no eager attention that could be looked at."
        )
    mask = _added(attention_mask, query, key, options.get("is_causal"), module)
    result: tuple[Tensor, Tensor | None] = own(module, query, key, value, mask, **options)
    return result


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


def choose(hf: Any, modules: Sequence[nn.Module], run: Callable[[], Tensor]) -> str:
    """Choose how a model that was loaded with eager attention goes on, by trying it: `run` gives
    its logits on some text.

    Returns: in words, how. The interface with the fused kernel where this gives the eager numbers;
    the interface with the eager function; else as it is, eager, past the interface.
    """
    kinds: set[Any] = {type(module) for module in modules}
    if any(map(_asks_by_name, kinds)):
        return "eager, past the interface"
    meant = run()
    before = {id(config): config._attn_implementation for config in _configs(hf)}

    def same() -> bool:
        result = run()
        most = 2e-4 if result.dtype == torch.float32 else 0.05
        return bool((result - meant).norm() <= most * meant.norm() + 1e-6)

    came: list[nn.Module] = []
    try:
        for config in _configs(hf):
            config._attn_implementation = NAME
        for module in modules:
            _seen_by[module] = came
        if getattr(hf, "_supports_sdpa", False) and same() and set(modules) <= set(came):
            return "fused"
        came.clear()
        _eager.update(modules)
        written = all(_eager_function(m) is not None for m in modules)
        if written and same() and set(modules) <= set(came):
            return "eager"
    except Exception as wrong:  # a family that does not know the interface fails in its own way
        del wrong
    finally:
        for module in modules:
            _seen_by.pop(module, None)
    _eager.difference_update(modules)
    for config in _configs(hf):
        config._attn_implementation = before[id(config)]
    return "eager, past the interface"


@contextmanager
def softmax_seen(
    module: nn.Module, n_heads: int, scores: Act | None = None, pattern: Act | None = None
) -> Iterator[None]:
    """Hand a module's scores and pattern [rows heads query_pos key_pos] to these as they pass; what
    they return takes their place, unless that is None."""
    sink = has_sink(module)
    original = module.forward
    kept = module.__dict__.get("forward")
    always = module in _eager

    def forward(*args: Any, **kwargs: Any) -> Any:
        with _Softmax(_beside_sink(scores, sink), _beside_sink(pattern, sink), n_heads):
            return original(*args, **kwargs)

    module.__dict__["forward"] = forward
    _eager.add(module)
    try:
        yield
    finally:
        if not always:
            _eager.discard(module)
        if kept is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = kept


def carry_over(module: nn.Module, copied: nn.Module) -> None:
    """Let a copy of an attention module go the way the module goes."""
    if module in _eager:
        _eager.add(copied)


def has_sink(module: nn.Module) -> bool:
    """Whether a share of a module's attention goes to a sink that is no token (GPT-OSS)."""
    return hasattr(module, "sinks")


def _beside_sink(act: Act | None, sink: bool) -> Act | None:
    """Keep the last column, a sink that is no token and takes a share of the attention, out of
    sight."""
    if act is None or not sink:
        return act

    def beside(whole: Tensor) -> Tensor | None:
        changed = act(whole[..., :-1])
        return None if changed is None else torch.cat([changed, whole[..., -1:]], -1)

    return beside


class _Softmax(TorchFunctionMode):
    """Softmax over the keys of every row and head (two axes, or one that holds both), seen before
    and after."""

    def __init__(self, scores: Act | None, pattern: Act | None, n_heads: int) -> None:
        super().__init__()
        self._scores, self._pattern, self._n_heads = scores, pattern, n_heads

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        options = kwargs or {}
        if func not in _SOFTMAX:
            return func(*args, **options)
        given = args[0] if args else options["input"]
        if given.ndim not in (3, 4) or (given.ndim == 3 and len(given) % self._n_heads):
            return func(*args, **options)
        changed = self._acted(self._scores, given)
        if args:
            args = (changed, *args[1:])
        else:
            options = {**options, "input": changed}
        return self._acted(self._pattern, func(*args, **options))

    def _acted(self, act: Act | None, whole: Tensor) -> Tensor:
        if act is None:
            return whole
        changed = act(whole if whole.ndim == 4 else whole.unflatten(0, (-1, self._n_heads)))
        return whole if changed is None else changed.reshape(whole.shape).to(whole.dtype)


def _added(
    mask: Tensor | None, query: Tensor, key: Tensor, causal: bool | None, module: nn.Module
) -> Tensor | None:
    """The fused kernel's mask as eager functions take it: to be added to the scores."""
    n, m = query.shape[2], key.shape[2]
    if mask is None:
        if causal is None:
            causal = bool(getattr(module, "is_causal", True))
        if n == 1 or not causal:
            return None
        mask = torch.ones(n, m, dtype=torch.bool, device=query.device).tril(m - n)[None, None]
    if mask.dtype != torch.bool:
        return mask
    least = torch.finfo(query.dtype).min
    return torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, least)


@cache
def _asks_by_name(kind: Any) -> bool:
    """Whether a family's attention, a class, does something else under a name it does not know. Its
    source is read once: it takes longer than the rest of a layer's choosing."""
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):
        return False
    return re.search(r"_attn_implementation\s*(==|in)[^\n]*[\"']sdpa[\"']", source) is not None


def _eager_function(module: nn.Module) -> Callable[..., Any] | None:
    for cls in type(module).__mro__:
        result = getattr(sys.modules.get(cls.__module__), "eager_attention_forward", None)
        if callable(result):
            return result
    return None


def _configs(hf: Any) -> list[Any]:
    """Every config that a part of the model reads."""
    result = {id(m.config): m.config for m in hf.modules() if hasattr(m, "config")}
    return [c for c in result.values() if hasattr(c, "_attn_implementation")]
