"""What blocks are given beside the residual stream, made for one row, repeated for many.

Masks and position embeddings are made for one row and broadcast by the blocks' own code. A few
families shape them by row and head (ALiBi in BLOOM): these are repeated, row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ..model.model import Model, hidden_of


def repeated(
    model: Model, layer: int, n_rows: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a block is given beside the stream, of one row, for `n_rows`."""
    names = {name for at, name in model.tiled if at == layer}
    if not names or n_rows == 1:
        return args, kwargs
    more = _repeating(n_rows)
    return (
        tuple(more(v) if str(i) in names else v for i, v in enumerate(args)),
        {name: more(v) if name in names else v for name, v in kwargs.items()},
    )


@contextmanager
def tiled(model: Model, layer: int) -> Iterator[None]:
    """Repeat what a block of a whole pass is given beside the stream, for as many rows as enter."""
    if not any(at == layer for at, _ in model.tiled):
        yield
        return

    def before(
        _block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        n_rows = len(hidden_of(args, kwargs))
        others, named = repeated(model, layer, n_rows, args[1:], kwargs)
        return (*args[:1], *others), named

    handle = model.blocks[layer].register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _repeating(n: int) -> Callable[[Any], Any]:
    def more(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.repeat(n, *[1] * (value.ndim - 1))
        return type(value)(map(more, value)) if isinstance(value, tuple | list) else value

    return more
