"""How rows enter a pass and leave it: blocks skipped, rows that join before a layer, and the few
positions that are unembedded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..model.model import Model
from ..model.through import given_on, hidden_of, with_first


@contextmanager
def skipped(block: nn.Module, gives: int) -> Iterator[None]:
    """Let a block hand on its input, doing nothing."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        hidden = hidden_of(args, kwargs)
        return given_on(hidden, gives)

    block.__dict__["forward"] = forward
    try:
        yield
    finally:
        del block.__dict__["forward"]


@contextmanager
def joined(model: Model, layer: int, new: Tensor, first: bool) -> Iterator[None]:
    """Add rows [rows pos d_model] to the batch before a layer; the first ones replace the driver.

    Rows that join at n_layers, the clean ones, are added after the last block.
    """

    def grown(hidden: Tensor) -> Tensor:
        return new if first else torch.cat([hidden, new])

    def before(
        _block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (grown(args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": grown(kwargs["hidden_states"])}

    def after(_block: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        return with_first(output, grown)

    if layer == model.shape.n_layers:
        handle = model.blocks[-1].register_forward_hook(after)
    else:
        handle = model.blocks[layer].register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def trimmed(unembed: nn.Module, picked: list[tuple[int, int]]) -> Iterator[None]:
    """Unembed only the (row, position) pairs asked for: [rows pos d] becomes [1 picked d]."""
    rows = torch.tensor([r for r, _ in picked] or [0])
    positions = torch.tensor([p for _, p in picked] or [0])

    def before(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0][rows.to(args[0].device), positions.to(args[0].device)][None], *args[1:])

    handle = unembed.register_forward_pre_hook(before)
    try:
        yield
    finally:
        handle.remove()
