"""How much one step of long work may do, so that others get in between, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from ..errors import EngineError
from ..model.model import Model
from . import forward

T = TypeVar("T")

STEP_SECONDS = 0.06
"""What a step should take at most: an interactive question waits no longer for its turn."""
_FIRST = 4e9
_LEAST = 1e8
"""Floating-point operations: of the first step, and of the smallest."""


class Pace:
    """The measure of one piece of work: `total` and `done` in floating-point operations.

    The size of its steps follows the time they take.
    """

    def __init__(self, model: Model, total: float = 0.0) -> None:
        self.model = model
        self.total, self.done = total, 0.0
        self._skipped = 0.0
        self._most = _FIRST
        self._began = time.monotonic()
        n = [sum(p.numel() for p in block.parameters()) for block in model.blocks]
        self.block_cost = [2.0 * one for one in n]
        """Operations of one token in each block, attention itself left out."""
        self.unembedding_cost = 2.0 * model.shape.d_model * model.shape.d_vocab

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    @property
    def seconds_left(self) -> float | None:
        """What the rest takes if it goes on as it did; None before anything is done."""
        own = self.done - self._skipped
        return self.seconds * max(0.0, self.total - self.done) / own if own else None

    def fitting(self, cost: float) -> int:
        """How many things of so many operations each fit in a step; at least one."""
        return max(1, int(self._most / cost))

    def skip(self, cost: float) -> None:
        """So many operations need not be done: what they would give is known."""
        self.done += cost
        self._skipped += cost

    def steps(
        self, n: int, cost: float, nbytes: int, work: Callable[[int, int], None]
    ) -> Iterator[float]:
        """Do `work(start, stop)` over n rows of so many operations and bytes each, as many at a
        time as fit in a step, and as one half as many where memory gives out.

        Raises: EngineError where not even one row fits in the memory there is.
        """
        start = 0
        while start < n:
            fit = max(1, min(self.fitting(cost), forward.CHUNK_BYTES // max(nbytes, 1)))
            left = n - start
            stop = start + -(-left // -(-left // fit))  # steps of one size, not a last small one
            before = time.monotonic()
            try:
                work(start, stop)
                self._finish()
            except (torch.OutOfMemoryError, RuntimeError) as wrong:
                if not forward.is_out_of_memory(wrong):
                    raise
                if stop - start == 1:
                    raise EngineError(
                        f"Not even one row fits in the memory left on {self.model.device}; shorten "
                        "the prompts, or load the model in a smaller dtype."
                    ) from wrong
                self._most = max(1.0, (stop - start) // 2 * cost)
                continue
            self.done += cost * (stop - start)
            self._fit(cost * (stop - start), time.monotonic() - before)
            start = stop
            yield self.share

    def _fit(self, done: float, seconds: float) -> None:
        if done > 0.4 * self._most or seconds > STEP_SECONDS:  # a small step tells little
            meant = done * STEP_SECONDS / max(seconds, 1e-6)
            self._most = max(_LEAST, min(2 * self._most, max(self._most / 2, meant)))

    def _finish(self) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)
