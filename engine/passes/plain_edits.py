"""Edits made in the plain model's own modules, while rows pass through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from ..model.bridge import Model
from .forward import Capture, check_fired
from .hooks import Edit, apply

Wanted = Mapping[Capture, Sequence[tuple[int, Edit]]]
"""By hook point and layer: which row is changed there, and how."""


@contextmanager
def edited(model: Model, wanted: Wanted, shape: tuple[int, ...]) -> Iterator[None]:
    """Make the edits while ids [rows pos] of this shape are read; none outlives that.

    Raises: EngineError where an activation was never passed, so that it was not changed.
    """
    fired = dict.fromkeys(wanted, False)

    def acting(at: Capture, edits: Sequence[tuple[int, Edit]]) -> Callable[[Tensor], Tensor]:
        def act(activation: Tensor) -> Tensor:
            fired[at] = True
            return apply(edits, activation)

        return act

    with ExitStack() as stack:
        for at, edits in wanted.items():
            stack.enter_context(seen(model, at, shape, acting(at, edits)))
        yield
        check_fired(fired)


@contextmanager
def seen(
    model: Model, at: Capture, shape: tuple[int, ...], act: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """Put what `act` makes of an activation in its place, with the axes it has in TransformerLens,
    while ids [rows pos] of this shape are read."""
    module, goes_in = model.passing(*at)
    axes = (*shape, *((model.shape.n_heads,) if at[0] == "z" else ()), -1)
    handle = _hook(module, goes_in, lambda x: act(x.reshape(axes)).reshape(x.shape))
    try:
        yield
    finally:
        handle.remove()


def _hook(module: nn.Module, goes_in: bool, act: Callable[[Tensor], Tensor]) -> Any:
    if goes_in:
        return module.register_forward_pre_hook(lambda _m, args: (act(args[0]), *args[1:]))
    return module.register_forward_hook(
        lambda _m, _a, out: (act(out[0]), *out[1:]) if isinstance(out, tuple) else act(out)
    )
