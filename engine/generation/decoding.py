"""Rows of ids that go on token by token: the other place a model is called, beside `forward`.

Rows of one length share a batch and its cache of keys and values, each row with its own edits;
rows of different length never do. The cache belongs to the decoding and not to the model, so any
other work may come between two tokens, and hooks are there only while ids are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import EngineError
from ..model.bridge import Model
from ..passes import forward
from ..passes.hooks import Edit
from ..passes.plain_edits import edited

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
                edited(model, _wanted(changes), tuple(ids.shape)),
                _trimmed(model.plain.unembed, last),
            ):
                logits, self._cache = model.plain(ids, self._cache)
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


def vouch(model: Model) -> None:
    """See once that a model gives the same numbers here as in `forward`, cache and edits included.

    Raises: EngineError for an architecture where it does not.
    """
    if model.plain.vouched:
        return
    s = model.shape
    n = min(4, s.n_ctx or 4)
    text = tuple((3 + 7 * i) % s.d_vocab for i in range(n))
    middle = s.n_layers // 2
    sites = [("z", 0, (0,)), ("mlp_out", middle, None), ("post", s.n_layers - 1, (0,))]
    edits = [
        (Edit(point, layer, index, tuple(range(n)), 0.5),)
        for point, layer, index in sites
        if model.reaches(point, layer)
    ]
    rows = [forward.Row(text, own, tuple(range(n))) for own in [(), *edits]]
    expected = torch.stack([result.logits for result in forward.run(model, rows)])
    ids = torch.tensor([text] * len(rows), device=model.device)
    decoding, found = Decoding(model), []
    for part in ids.split([max(1, n - 2)] + [1] * (n - max(1, n - 2)), dim=1):
        here = tuple(range(part.shape[1]))
        changes = [tuple(replace(one, positions=here) for one in row.edits) for row in rows]
        found.append(decoding.read(part, changes, part.shape[1]))
    off = float((torch.cat(found, 1) - expected).norm())
    if not off <= (1e-3 if model.dtype == torch.float32 else 0.1) * float(expected.norm()) + 1e-6:
        raise EngineError(
            f"{model.checkpoint.architecture} gives other numbers when it goes on token by token "
            "than when it reads the whole text at once, so its generation is not shown rather than "
            "shown wrongly."
        )
    model.plain.vouched = True


def _wanted(changes: Changes) -> dict[forward.Capture, list[tuple[int, Edit]]]:
    wanted: dict[forward.Capture, list[tuple[int, Edit]]] = {}
    for row, edits in enumerate(changes):
        for one in edits:
            wanted.setdefault((one.point, one.layer), []).append((row, one))
    return wanted


@contextmanager
def _trimmed(unembed: nn.Module, last: int) -> Iterator[None]:
    """Unembed only the last positions of what is read."""
    handle = unembed.register_forward_pre_hook(lambda _m, args: (args[0][:, -last:], *args[1:]))
    try:
        yield
    finally:
        handle.remove()
