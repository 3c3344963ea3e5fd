"""What passes through a module, seen and changed: the stream a block is given, what it gives, and
the activation at a place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.utils.hooks import RemovableHandle

from .place import Place

Act = Callable[[Tensor], Tensor | None]
"""What is done with an activation: what it gives takes its place, unless that is None."""


def hook(place: Place, n_tokens: int, act: Act) -> RemovableHandle:
    """Hand the activation at a place to `act` as it passes: [batch n_tokens ...], cut into heads
    where the place says so."""

    def acted(whole: Tensor) -> Tensor:
        return _acted(place, n_tokens, act, whole)

    if place.goes_in:
        return place.module.register_forward_pre_hook(
            lambda _m, args, kwargs: _with_hidden(args, kwargs, acted), with_kwargs=True
        )
    return place.module.register_forward_hook(lambda _m, _a, out: with_first(out, acted))


def _acted(place: Place, n_tokens: int, act: Act, whole: Tensor) -> Tensor:
    """What passes at a place, with what `act` makes of its activation put back."""
    part = whole if place.columns is None else whole[..., place.columns.to(whole.device)]
    axes = (-1, n_tokens, *(() if place.heads is None else (place.heads,)))
    activation = part.reshape(*axes, part.shape[-1] // (place.heads or 1))
    changed = act(activation if place.scale == 1.0 else activation * place.scale)
    if changed is None:
        return whole
    changed = (changed if place.scale == 1.0 else changed / place.scale).reshape(part.shape)
    if place.columns is None:
        return changed
    whole = whole.clone()
    whole[..., place.columns.to(whole.device)] = changed.to(whole.dtype)
    return whole


def hook_in_place(place: Place, n_tokens: int, act: Act) -> RemovableHandle:
    """See the stream between attention and MLP, where the MLP's norm is given it: the very tensor
    that the block goes on to add to, so a change is written into it."""

    def acted(stream: Tensor) -> Tensor:
        changed = _acted(place, n_tokens, act, stream)
        return stream if changed is stream else stream.copy_(changed)

    return place.module.register_forward_pre_hook(
        lambda _m, args, kwargs: _with_hidden(args, kwargs, acted), with_kwargs=True
    )


def hidden_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """The residual stream that a block is given."""
    return args[0] if args else kwargs["hidden_states"]


def given_on(hidden: Tensor, gives: int) -> Any:
    """What a block that does nothing gives: the stream, and nothing in place of all else."""
    return (hidden, *(None,) * (gives - 1)) if gives else hidden


def with_first(out: Any, act: Callable[[Tensor], Tensor]) -> Any:
    """What a module gives, with the first of its outputs changed."""
    return type(out)((act(out[0]), *out[1:])) if isinstance(out, tuple | list) else act(out)


def _with_hidden(
    args: tuple[Any, ...], kwargs: dict[str, Any], act: Callable[[Tensor], Tensor]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if args:
        return (act(args[0]), *args[1:]), kwargs
    name = "hidden_states" if "hidden_states" in kwargs else next(iter(kwargs))
    return args, {**kwargs, name: act(kwargs[name])}
