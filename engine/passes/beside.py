"""What blocks are given beside the residual stream: masks, position embeddings, biases.

Most of it is made once and broadcast over the rows. What a family makes row by row is cut to the
rows that have joined, or, made for one row, repeated for many.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ..model.model import Model
from ..model.through import hidden_of

Given = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and named arguments, the stream not among them."""


def repeated(model: Model, layer: int, n_rows: int, given: Given) -> Given:
    """What a block is given for one row, for `n_rows` of them."""
    names = {name for at, name in model.tiled if at == layer}
    if not names or n_rows == 1:
        return given
    return _changed(given, names, lambda v: v.repeat(n_rows, *[1] * (v.ndim - 1)))


@contextmanager
def cut(model: Model, layer: int, n_rows: int) -> Iterator[None]:
    """Give a block, in a pass of `n_rows`, what belongs to the rows that have joined by then: the
    first ones."""
    names = {name for at, name in model.by_row if at == layer}
    if not names or n_rows == 1:
        yield
        return

    def before(_block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Given:
        n = len(hidden_of(args, kwargs))
        others, named = _changed(
            (args[1:], kwargs), names, lambda v: v[: len(v) * n // n_rows] if len(v) > 1 else v
        )
        return (*args[:1], *others), named

    handle = model.blocks[layer].register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _changed(given: Given, names: Collection[str], change: Callable[[Tensor], Tensor]) -> Given:
    def each(value: Any) -> Any:
        if isinstance(value, Tensor):
            return change(value) if value.ndim else value
        return type(value)(map(each, value)) if isinstance(value, tuple | list) else value

    args, kwargs = given
    return (
        tuple(each(v) if str(i) in names else v for i, v in enumerate(args)),
        {name: each(v) if name in names else v for name, v in kwargs.items()},
    )
