"""Rows of ids that go on token by token: the other place a model is called, beside `forward`.

Rows of one length share a batch and its cache of keys and values, each row with its own edits;
rows of different length never do. The cache belongs to the decoding and not to the model, so any
other work may come between two tokens, and hooks are there only while ids are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import EngineError
from ..model.model import Model
from . import forward
from .hooks import Edit
from .points import by_place, passing

Changes = Sequence[tuple[Edit, ...]]
"""The edits of each row. Their positions count from the first of the ids that are being read."""


class Decoding:
    """A batch of rows being read: `n_read` tokens so far, the same number in each row."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._cache: Any = None
        self.n_read = 0

    def read(self, ids: Tensor, changes: Changes = (), last: int = 1) -> Tensor:
        """Read ids [rows pos] behind what was read before, on the worker's thread.

        Returns: logits [rows last d_vocab] after each of the `last` of these ids, float32.
        Raises: EngineError where memory does not suffice, or where a change cannot be made.
        """
        model = self._model
        if not model.worker.is_current:
            raise RuntimeError("ids were read outside the model's worker")
        try:
            with (
                passing(model, ids.shape[1], by_place(changes)),
                _trimmed(model.unembed, last),
            ):
                logits, self._cache = model.go_on(ids, self._cache)
        except (torch.OutOfMemoryError, RuntimeError) as wrong:
            if not forward.is_out_of_memory(wrong):
                raise
            self._cache = None
            raise OutOfMemory(
                f"{ids.shape[0]} texts of {self.n_read + ids.shape[1]:,} tokens do not fit in the "
                f"memory left on {model.device}. Ask for fewer tokens, or load the model in a "
                "smaller dtype."
            ) from wrong
        self.n_read += ids.shape[1]
        return logits.float()

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only, in this order."""
        if self._cache is not None:
            self._cache.batch_select_indices(torch.tensor(rows, device=self._model.device))


class OutOfMemory(EngineError):
    """The device's memory gave out; fewer rows may fit."""


def row_bytes(model: Model, n_prompt: int, n_tokens: int) -> int:
    """What one row takes at most: its cache, its prompt's activations, its logits."""
    s = model.shape
    size = model.dtype.itemsize
    cache = 2 * s.n_layers * s.n_key_value_heads * s.d_head * n_tokens * size
    widest = (6 * s.d_model + 3 * (s.d_mlp or 8 * s.d_model) + 3 * s.n_heads * n_prompt) * size
    return cache + n_prompt * widest + 6 * s.d_vocab * 4


@contextmanager
def _trimmed(unembed: nn.Module, last: int) -> Iterator[None]:
    """Unembed only the last positions of what is read."""
    handle = unembed.register_forward_pre_hook(lambda _m, args: (args[0][:, -last:], *args[1:]))
    try:
        yield
    finally:
        handle.remove()
