"""Rows that set out from a run, each at its own layer, and grow into one batch towards the output.

A run is made of texts of one length, with the edits they all carry ("given"). A row is one of these
texts with one more edit: until the layer of that edit it is the run, so it begins there. Every step
is one block over some of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..model.model import Model
from ..model.worker import Steps
from . import forward
from .blockwise import Blocks, Ids, shared_out
from .hooks import Edit
from .pace import Pace
from .points import Wanted, by_place

Edits = tuple[Edit, ...]

WAVE_BYTES = 10 * 2**20
"""Residual stream of the rows that grow together; their results come together too."""


@dataclass(frozen=True)
class Base:
    """A run of texts of one length: what rows set out from.

    `stream` [n_layers + 1, text, pos, d_model]: entering each layer, and leaving the last; there
    at `places` only. `given`: the edits of each text.
    """

    blocks: Blocks
    texts: tuple[Ids, ...]
    given: tuple[Edits, ...]
    places: tuple[int, ...]
    stream: list[Tensor]

    @property
    def leaving(self) -> Float[Tensor, "text places d_model"]:
        """The residual stream after the last layer, at the places asked for."""
        return self.stream[-1]


@dataclass(frozen=True)
class Branch:
    """A row: the text it is, by its index in the run, and what is changed besides, in one layer."""

    text: int
    edit: Edit

    @property
    def layer(self) -> int:
        """Where it parts from the run."""
        return self.edit.layer


def base_cost(pace: Pace, texts: Sequence[Ids]) -> float:
    """Operations of `base`."""
    return sum(map(len, texts)) * sum(pace.block_cost)


def grown_cost(pace: Pace, layer: int, n_tokens: int) -> float:
    """Operations of one row from a layer on."""
    return n_tokens * sum(pace.block_cost[layer:])


def base(
    model: Model,
    pace: Pace,
    texts: Sequence[Ids],
    given: Sequence[Edits],
    places: tuple[int, ...],
    blocks: Blocks | None = None,
) -> Steps[Base]:
    """Run texts of one length with their given edits."""
    blocks = Blocks(model, texts) if blocks is None else blocks
    run = Base(blocks, tuple(texts), tuple(given), places, [blocks.embedded])
    yield from run_layers(model, pace, run, 0, model.shape.n_layers)
    return run


def run_layers(model: Model, pace: Pace, run: Base, first: int, last: int) -> Steps[None]:
    """Run the layers from `first` to the one before `last` anew, over what enters the first."""
    n = run.blocks.n_tokens
    nbytes = forward.row_bytes(model, forward.Row(run.texts[0]))
    for layer in range(first, last):
        entering = run.stream[layer]
        leaving = torch.empty_like(entering)

        def work(
            hand: Model, start: int, stop: int, layer: int = layer, entering: Tensor = entering
        ) -> Tensor:
            at = slice(start, stop)
            wanted = _wanted(layer, [(edits, None) for edits in run.given[at]])
            return run.blocks.call(layer, entering[at], wanted, hand=hand)

        cost = n * pace.block_cost[layer]
        yield from pace.steps(len(run.texts), cost, nbytes, shared_out(model, work, leaving))
        if layer == model.shape.n_layers - 1:
            leaving = leaving[:, list(run.places)]
        run.stream[layer + 1 : layer + 2] = [leaving]


def grown(
    model: Model, pace: Pace, base: Base, branches: Sequence[Branch]
) -> Steps[Float[Tensor, "rows places d_model"]]:
    """Run branches to the last layer.

    They are given in the order of their layers, those of one layer by text. Returns: the residual
    stream leaving the last layer, at the run's places.
    """
    n_layers, n = model.shape.n_layers, base.blocks.n_tokens
    nbytes = forward.row_bytes(model, forward.Row(base.texts[0]))
    hidden = base.stream[0].new_empty(len(branches), n, model.shape.d_model)
    leaving = base.leaving.new_empty(len(branches), *base.leaving.shape[1:])
    texts = torch.tensor([branch.text for branch in branches], device=hidden.device)
    joined = 0
    for layer in range(min((b.layer for b in branches), default=n_layers), n_layers):
        new = sum(branch.layer == layer for branch in branches)
        last = layer == n_layers - 1
        rows = joined + new
        hidden[joined:rows] = base.stream[layer][texts[joined:rows]]
        own = torch.arange(joined, device=hidden.device) + len(base.texts)
        alike = torch.cat([own, texts[joined:rows]])

        def work(
            hand: Model,
            start: int,
            stop: int,
            layer: int = layer,
            last: int = last,
            joined: int = joined,
            alike: Tensor = alike,
        ) -> Tensor:
            at = slice(start, stop)
            wanted = _wanted(
                layer,
                [(base.given[b.text], b.edit if b.layer == layer else None) for b in branches[at]],
            )
            out = base.blocks.call(
                layer,
                hidden[at],
                wanted,
                places=base.places if last else None,
                alike=alike[at] if stop > joined else None,
                hand=hand,
            )
            return out[:, list(base.places)] if last else out

        cost, into = n * pace.block_cost[layer], leaving if last else hidden
        yield from pace.steps(rows, cost, nbytes, shared_out(model, work, into))
        joined += new
    return leaving


def _wanted(layer: int, rows: Sequence[tuple[Edits, Edit | None]]) -> Wanted:
    """The edits of rows in one layer: each row's own, then those given, so that it joins the first
    of the changes."""
    return by_place(
        [
            [e for e in (*(() if own is None else (own,)), *given) if e.layer == layer]
            for given, own in rows
        ]
    )
