"""Rotary embeddings whose frequencies follow the length of the text (LongRoPE, dynamic NTK).

Two things follow from that. A text's numbers depend on how long it is, so what a shorter one gives
cannot be read off a longer one: `Rotaries.regime` tells which lengths are of one kind. And the
modules remember the longest text they have seen, so that another text's numbers would come to
depend on it: every text begins with that memory wiped.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from torch import nn

_FOLLOWING = ("longrope", "dynamic")


class Rotaries:
    """The rotary embeddings of a model that follow the length of the text; most have none."""

    def __init__(self, hf: nn.Module) -> None:
        self._each: list[tuple[Any, str, str]] = [
            (module, prefix, kind)
            for module in hf.modules()
            for prefix, kind in _kinds(module)
            if any(name in kind for name in _FOLLOWING)
        ]

    def __bool__(self) -> bool:
        return bool(self._each)

    def regime(self, n_tokens: int) -> Hashable:
        """The same for lengths at which every frequency is the same."""
        return tuple(
            max(n_tokens, self._border(module, prefix))
            if "dynamic" in kind
            else n_tokens > self._border(module, prefix)
            for module, prefix, kind in self._each
        )

    def longest(self, n_ctx: int | None) -> int | None:
        """How long a text may be, where a model without them reads `n_ctx` tokens: frequencies that
        grow with the text reach further by their factor."""
        factors = [
            float(module.config.rope_parameters.get("factor", 1.0))
            for module, prefix, kind in self._each
            if "dynamic" in kind and not prefix
        ]
        return n_ctx if n_ctx is None or not factors else int(n_ctx * min(factors))

    def begin(self) -> None:
        """Forget the texts read before."""
        for module, prefix, kind in self._each:
            if "dynamic" in kind:
                own = getattr(module, f"{prefix}original_inv_freq")
                inv_freq = getattr(module, f"{prefix}inv_freq")
                module.register_buffer(
                    f"{prefix}inv_freq", own.to(inv_freq.device), persistent=False
                )
                longest = f"{prefix}max_seq_len_cached"
                setattr(module, longest, module.original_max_seq_len)
                module.max_seq_len_cached = module.original_max_seq_len

    def _border(self, module: Any, prefix: str) -> int:
        """The longest text that is read as it was in training."""
        kind = module.rope_type[prefix.removesuffix("_")] if prefix else module.rope_type
        if "dynamic" in kind:
            return int(module.original_max_seq_len)
        parameters = module.config.rope_parameters
        if prefix:
            parameters = parameters[prefix.removesuffix("_")]
        named = parameters.get("original_max_position_embeddings")
        return int(named if named is not None else module.original_max_seq_len)


def _kinds(module: nn.Module) -> Iterator[tuple[str, str]]:
    """The kinds of frequencies a module has, by the prefix of their names."""
    kind = getattr(module, "rope_type", None)
    if isinstance(kind, str):
        yield "", kind
    elif isinstance(kind, dict):
        for name, one in kind.items():
            yield f"{name}_", str(one)
