"""Rows of ids that go on token by token: the other place a model is called, beside `forward`.

Rows of one length share a batch and its cache of keys and values, each row with its own edits;
rows of different length never do. The cache belongs to the decoding and not to the model, so any
other work may come between two tokens, and hooks are there only while ids are read.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import EngineError
from ..model.kernels import as_written
from ..model.model import Model
from . import forward
from .hooks import Edit
from .points import by_place, passing

Changes = Callable[[int, int], Sequence[tuple[Edit, ...]]]
"""The edits of each row for reading positions from the first to before the second. Their own
positions count from the first."""


_A_PAIR = 2
"""A text and its clean twin, whose prompt is read as its family wrote it; many go faster."""


def _no_changes(first: int, stop: int) -> Sequence[tuple[Edit, ...]]:
    return ()


class Decoding:
    """A batch of rows being read: `n_read` tokens so far, the same number in each row.

    Where a model's frequencies follow the length of the text, what was read of a shorter one is no
    beginning of a longer one: past such a border the text is read anew.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._cache: Any = None
        self._ids: Tensor | None = None
        self.n_read = 0

    def read(self, ids: Tensor, changes: Changes = _no_changes, last: int = 1) -> Tensor:
        """Read ids [rows pos] behind what was read before, on the worker's thread.

        Returns: logits [rows last d_vocab] after each of the `last` of these ids, float32.
        Raises: EngineError where memory does not suffice, or where a change cannot be made.
        """
        if not self._model.worker.is_current:
            raise RuntimeError("ids were read outside the model's worker")
        if not self._model.rotaries:
            return self._read(ids, changes, last)
        result, start = [], 0
        for n in range(ids.shape[1] - last + 1, ids.shape[1] + 1):
            if n == ids.shape[1] or self._regime(start, n + 1) != self._regime(start, n):
                wanted = n - max(start, ids.shape[1] - last)
                result.append(self._read_within(ids[:, start:n], changes, wanted))
                start = n
        return torch.cat(result, 1)

    def _regime(self, start: int, n: int) -> Hashable:
        """The kind of length of a text when n of the ids being read are, `start` of them before."""
        return self._model.rotaries.regime(self.n_read - start + n)

    def _read_within(self, ids: Tensor, changes: Changes, last: int) -> Tensor:
        """Read ids that end in one regime, all the text anew where it is another than so far."""
        whole = ids if self._ids is None else torch.cat([self._ids, ids], 1)
        regime = self._model.rotaries.regime
        if self.n_read and regime(whole.shape[1]) != regime(self.n_read):
            self._cache, self.n_read, ids = None, 0, whole
        self._ids = whole
        return self._read(ids, changes, last)

    def _read(self, ids: Tensor, changes: Changes, last: int) -> Tensor:
        model, first = self._model, self.n_read
        edits = by_place(changes(first, first + ids.shape[1]))
        prompt = as_written(ids.shape[1] > 1 and ids.shape[0] <= _A_PAIR)
        try:
            with prompt, passing(model, ids.shape[1], edits), _trimmed(model.unembed, last):
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
        if self._ids is not None:
            self._ids = self._ids[list(rows)]
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
