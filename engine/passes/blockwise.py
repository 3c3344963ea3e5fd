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
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..errors import EngineError
from ..model.bridge import Model
from .plain_edits import Wanted, edited

Ids = tuple[int, ...]


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
    ) -> Float[Tensor, "rows pos d_model"]:
        """Run rows through one block, with the edits wanted there by row.

        `places`: the only positions whose output is wanted; the others may come out as anything.
        `alike`: a number for each row, the same for rows that enter alike.
        Raises: EngineError where an edit was not made.
        """
        model = self._model
        args, kwargs = self._calls[layer]
        block = model.plain_part(layer)
        assert block is not None
        with ExitStack() as stack:
            if alike is not None:
                stack.enter_context(_attending_once(model, layer, block, alike))
            stack.enter_context(edited(model, wanted, tuple(hidden.shape[:2])))
            if places is not None and len(places) < self.n_tokens:
                for part in _position_wise(model, layer, wanted):
                    stack.enter_context(_only_at(part, places))
            out = block(hidden, *args, **kwargs)
        return out[0] if isinstance(out, tuple) else out


def _recorded(model: Model, texts: Sequence[Ids]) -> tuple[Tensor, list[tuple[tuple, dict]]]:
    """What enters the first block, and what each is given beside it."""
    calls: list[tuple[tuple, dict]] = []
    entering: list[Tensor] = []

    def skipped(gives_tuple: bool) -> Callable[..., Any]:
        def forward_(*args: Any, **kwargs: Any) -> Any:
            others = {name: value for name, value in kwargs.items() if name != "hidden_states"}
            hidden = args[0] if args else kwargs["hidden_states"]
            entering.append(hidden)
            calls.append((args[1:], others))
            return (hidden,) if gives_tuple else hidden

        return forward_

    with ExitStack() as stack:
        for layer in range(model.shape.n_layers):
            block = model.plain_part(layer)
            assert block is not None
            stack.enter_context(_replaced(block, skipped(model.block_gives_tuple)))
        stack.enter_context(_replaced(model.plain.unembed, lambda hidden: hidden))
        model.plain.uncached(torch.tensor(texts, device=model.device))
    return entering[0], calls


def _position_wise(model: Model, layer: int, wanted: Wanted) -> Iterator[nn.Module]:
    """The parts of a block that do at one position nothing that another one sees."""
    yield model.passing("z", layer)[0]
    mlp = model.plain_part(layer, "mlp")
    if mlp is not None and ("post", layer) not in wanted:
        yield mlp


@contextmanager
def _replaced(module: nn.Module, forward_: Callable[..., Any]) -> Iterator[None]:
    module.__dict__["forward"] = forward_
    try:
        yield
    finally:
        del module.__dict__["forward"]


@contextmanager
def _only_at(part: nn.Module, places: tuple[int, ...]) -> Iterator[None]:
    """Let a part do its work at these positions only, and give zeros elsewhere."""
    original = part.forward
    where = list(places)

    def forward_(hidden: Tensor) -> Any:
        found = original(hidden[:, where])
        if not isinstance(found, Tensor):
            raise EngineError(f"{type(part).__name__} gives more than one tensor.")
        whole = found.new_zeros(*hidden.shape[:2], found.shape[-1])
        whole[:, where] = found
        return whole

    with _replaced(part, forward_):
        yield


@contextmanager
def _attending_once(
    model: Model, layer: int, block: nn.Module, alike: Int[Tensor, " rows"]
) -> Iterator[None]:
    """Let attention run once for rows that enter alike: up to the output projection, where they
    may be changed each in its own way."""
    projection, _ = model.passing("z", layer)
    attention = next(m for m in block.modules() if any(c is projection for c in m.children()))
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
