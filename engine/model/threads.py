"""How many of the processor's cores a piece of a model's work gets.

A small pass is done sooner by one core: shared out, every one of its hundreds of steps waits for
the slower core, and beside a browser that repaints there is always a slower one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .model import Model

_SMALL = 1e9
"""Floating-point operations, some 20 ms of one core."""


@contextmanager
def fitting(model: Model, n_vectors: int) -> Iterator[None]:
    """One core for this thread for a while, if so many vectors are little work for that model."""
    n_weights = model.nbytes / model.dtype.itemsize
    if model.device.type != "cpu" or 2 * n_weights * n_vectors > _SMALL:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
