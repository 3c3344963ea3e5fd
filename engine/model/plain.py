"""The model as Hugging Face made it, without the bridge: what goes on token by token.

The bridge wraps every part in hook points and has attention computed eagerly, so that patterns can
be seen. Generation and sweeps look at none of that, and pay for it at every token. `Plain` is a
second set of the model's own modules over the very same weights: with the attention kernel Hugging
Face chose, its cache, and no hook but those a pass brings along.
"""

from __future__ import annotations

import copy
import inspect
import itertools
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from .kernels import by_onednn


class Plain:
    """A Hugging Face model that shares the weights of another, to be made before that one is
    wrapped. `ends`: the ids that end a text, as its configuration has them. `vouched`, and
    `vouched_by_block`: whether it has been seen to give the bridge's numbers token by token, and
    block by block."""

    def __init__(self, hf: Any) -> None:
        copied: dict[int, Any] = {id(t): t for t in itertools.chain(hf.parameters(), hf.buffers())}
        self._hf = copy.deepcopy(hf, copied)
        self._twins: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary(
            {module: copied[id(module)] for module in hf.modules()}
        )
        self.unembed: nn.Module = self._hf.get_output_embeddings()
        self._cached = _name_of_cache(hf)
        by_onednn(self._hf)
        self.ends: frozenset[int] = _ends(hf)
        self.vouched = self.vouched_by_block = False

    def twin_of(self, module: Any) -> nn.Module | None:
        """The module that does here what `module` does in the wrapped model."""
        return self._twins.get(module) if isinstance(module, nn.Module) else None

    def __call__(self, ids: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Read ids [batch pos] behind what a cache holds (None: from the beginning).

        Returns: logits as its own forward gives them, and the cache with these ids in it.
        """
        with torch.no_grad():
            out = self._hf(input_ids=ids, use_cache=True, **{self._cached: cache})
        return out.logits, out[self._cached]

    def uncached(self, ids: Tensor) -> Tensor:
        """Read ids [batch pos], keeping nothing. Returns: logits as its own forward gives them."""
        return self._hf(input_ids=ids, use_cache=False).logits


def _name_of_cache(hf: Any) -> str:
    """What the model's own forward calls its cache; transformers renamed it in the fifth series."""
    return "cache" if "cache" in inspect.signature(hf.forward).parameters else "past_key_values"


def _ends(hf: Any) -> frozenset[int]:
    for config in (getattr(hf, "generation_config", None), hf.config):
        ids = getattr(config, "eos_token_id", None)
        if ids is not None:
            return frozenset(ids if isinstance(ids, list | tuple) else [ids])
    return frozenset()
