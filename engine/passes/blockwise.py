"""A model's blocks called one at a time, so that thousands of rows can be run with stops between.

A pass of `forward` is one call of the model: it ends before anything else may begin. Here each
block is called by itself, on as many rows as take a moment, over the plain model's own modules. A
row begins where it differs from the run it sets out from (late joining, as in `forward`), and
three things are left out that change no number: the attention of rows that are still alike when
they enter their first block, what the last block does at positions nobody asks for, and the
unembedding there.

What masks and position embeddings a block is given is recorded from one row and broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..model.model import Model
from ..model.place import SOFTMAX
from ..model.through import given_on, hidden_of, with_first
from .beside import repeated
from .points import Wanted, passing

Ids = tuple[int, ...]

_FEWEST = 2
"""Rows that are worth a thread."""


def alike(model: Model, ids: Ids) -> tuple[int, ...]:
    """The same for texts whose rows can be run together: those of one length, or, where blocks
    take more from a text than the residual stream, that text alone."""
    return (len(ids), *ids) if model.by_text else (len(ids),)


class Blocks:
    """The blocks of a model, for rows of one token count, on the worker's thread."""

    def __init__(self, model: Model, texts: Sequence[Ids]) -> None:
        self._model = model
        self.n_tokens = len(texts[0])
        first, self._calls = _recorded(model, texts[:1])
        self.embedded: Tensor = first if len(texts) == 1 else _recorded(model, texts)[0]
        """[texts pos d_model], entering the first block."""

    def call(
        self,
        layer: int,
        hidden: Float[Tensor, "rows pos d_model"],
        wanted: Wanted,
        places: tuple[int, ...] | None = None,
        alike: Int[Tensor, " rows"] | None = None,
        hand: Model | None = None,
    ) -> Float[Tensor, "rows pos d_model"]:
        """Run rows through one block, with the edits wanted there by row.

        `hand`: the one of the model's hands that this thread has.

        `places`: the only positions whose output is wanted; the others may come out as anything.
        `alike`: a number for each row, the same for rows that enter alike.
        Raises: EngineError where an edit was not made.
        """
        model = self._model if hand is None else hand
        args, kwargs = repeated(model, layer, len(hidden), self._calls[layer])
        block = model.blocks[layer]
        with ExitStack() as stack:
            if alike is not None and _attends_alike(model, layer, wanted):
                stack.enter_context(_attending_once(model, layer, alike))
            stack.enter_context(passing(model, self.n_tokens, wanted))
            if places is not None and len(places) < self.n_tokens:
                for part in _position_wise(model, layer, wanted):
                    stack.enter_context(_only_at(part, places))
            out = block(hidden, *args, **kwargs)
        return out if isinstance(out, Tensor) else out[0]


def shared_out(
    model: Model, work: Callable[[Model, int, int], Tensor], into: Tensor
) -> Callable[[int, int], None]:
    """Work over rows from `start` to `stop`, done at once by as many threads as the model has
    hands, each with its hand and a share of the rows. What it gives is put into `into` [rows ...]
    once all have done theirs: where one of them fails, nothing has changed."""

    def shared(start: int, stop: int) -> None:
        hands = model.hands()[: max(1, (stop - start) // _FEWEST)]
        edges = [start + (stop - start) * i // len(hands) for i in range(len(hands) + 1)]
        parts = list(zip(hands, edges, edges[1:], strict=False))
        given = model.worker.together([partial(work, hand, a, b) for hand, a, b in parts])
        for (_, a, b), result in zip(parts, given, strict=True):
            into[a:b] = result

    return shared


def _recorded(model: Model, texts: Sequence[Ids]) -> tuple[Tensor, list[tuple[tuple, dict]]]:
    """What enters the first block, and what each is given beside it."""
    calls: list[tuple[tuple, dict]] = []
    entering: list[Tensor] = []

    def skipped(gives: int) -> Callable[..., Any]:
        def forward_(*args: Any, **kwargs: Any) -> Any:
            others = {name: value for name, value in kwargs.items() if name != "hidden_states"}
            hidden = hidden_of(args, kwargs)
            entering.append(hidden)
            calls.append((args[1:], others))
            return given_on(hidden, gives)

        return forward_

    with ExitStack() as stack:
        for layer in range(model.shape.n_layers):
            stack.enter_context(_replaced(model.blocks[layer], skipped(model.block_gives)))
        stack.enter_context(_replaced(model.unembed, lambda hidden: hidden))
        model(torch.tensor(texts, device=model.device))
    return entering[0], calls


def _position_wise(model: Model, layer: int, wanted: Wanted) -> Iterator[nn.Module]:
    """The parts of a block that do at one position nothing that another one sees."""
    own = model.layer(layer)
    if own.output is not None and "attn_out" in own.places:  # else it goes on into another mixer
        yield own.output
    if own.mlp is not None and not any(
        (name, layer) in wanted for name in ("mlp_in", "post", "resid_mid")
    ):
        yield own.mlp


@contextmanager
def _replaced(module: nn.Module, forward_: Callable[..., Any]) -> Iterator[None]:
    before = module.__dict__.get("forward")
    module.__dict__["forward"] = forward_
    try:
        yield
    finally:
        if before is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = before


@contextmanager
def _only_at(part: nn.Module, places: tuple[int, ...]) -> Iterator[None]:
    """Let a part do its work at these positions only, and give zeros elsewhere."""
    original = part.forward
    where = list(places)

    def forward_(hidden: Tensor, *more: Any) -> Any:
        if more or hidden.ndim != 3:  # it is given something else by position
            return original(hidden, *more)

        def spread(result: Tensor) -> Tensor:
            whole = result.new_zeros(*hidden.shape[:2], result.shape[-1])
            whole[:, where] = result.view(len(hidden), len(where), -1)
            return whole if result.ndim == 3 else whole.flatten(0, 1)

        return with_first(original(hidden[:, where]), spread)

    with _replaced(part, forward_):
        yield


def _attends_alike(model: Model, layer: int, wanted: Wanted) -> bool:
    """Whether rows that enter a block alike leave its heads alike: none is changed on the way, and
    nothing but the stream is given by row."""
    own = model.layer(layer)
    if own.attention is None or own.output is None or any(at == layer for at, _ in model.tiled):
        return False
    within = {(name, layer) for name in ("resid_pre", "q", "k", "v", *SOFTMAX)}
    return not within & set(wanted) and any(m is own.output for m in own.attention.modules())


@contextmanager
def _attending_once(model: Model, layer: int, alike: Int[Tensor, " rows"]) -> Iterator[None]:
    """Let attention run once for rows that enter alike: up to the output projection, where they
    may be changed each in its own way."""
    attention, projection = model.layer(layer).attention, model.layer(layer).output
    assert attention is not None and projection is not None
    kinds, back = alike.unique(return_inverse=True)
    first = torch.full_like(kinds, len(alike)).scatter_reduce(
        0, back, torch.arange(len(alike), device=alike.device), "amin"
    )
    original = attention.forward

    def forward_(*args: Any, **kwargs: Any) -> Any:
        if args:
            return original(args[0][first], *args[1:], **kwargs)
        return original(**{**kwargs, "hidden_states": kwargs["hidden_states"][first]})

    handle = projection.register_forward_pre_hook(lambda _m, args: (args[0][back], *args[1:]))
    try:
        with _replaced(attention, forward_):
            yield
    finally:
        handle.remove()
