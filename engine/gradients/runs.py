"""The clean and the corrupted run of prompts, and the metric's gradients in the runs between them.

What enters layer 0 is x' + (k / steps) (x − x') in the k-th run, from the first to the last, with
x' the corrupted prompt's and x the clean one's; blocks and positions are the same in all of them.
The last is the clean run itself, and with one step it is the only one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..attribution.backward import Gradients, Piece, differentiated, metric_of
from ..errors import EngineError
from ..model.model import Model
from ..model.worker import Steps
from ..passes.blockwise import Blocks
from ..passes.forward import Capture
from ..passes.overflow import check_numbers
from ..passes.pace import Pace
from ..passes.points import passing
from ..scoring.prompts import Prompt
from ..scoring.scorer import Target

CLEAN, CORRUPTED = 0, 1
TOKENS = 128
"""Tokens differentiated at a time, where a block's gradients in so many are there in a step: more
are no faster, and keep others waiting longer."""
FEWEST = 32
"""As many even where they take longer than a step: of fewer, each costs more."""


@dataclass(frozen=True, eq=False)
class Runs:
    """Both runs of prompts of one token count: what enters layer 0 [run prompt pos d_model], what
    passes at places [run prompt pos ...], and the metric [run prompt]; run 0 is the clean one.
    `acting`: where nodes become what they are in the corrupted run, [prompt pos]."""

    blocks: Blocks
    targets: tuple[Target, ...]
    steps: int
    embedded: Float[Tensor, "run prompt pos d_model"]
    captured: dict[Capture, Tensor]
    metric: Float[Tensor, "run prompt"]
    acting: Float[Tensor, "prompt pos"]

    def off(
        self, passed: Float[Tensor, "run prompt pos *more"]
    ) -> Float[Tensor, "prompt pos *more"]:
        """Corrupted − clean of what passes at a place, float32; 0 where no node is changed."""
        off = passed[CORRUPTED].float() - passed[CLEAN].float()
        return off * self.acting.view(*self.acting.shape, *(1,) * (off.ndim - 2))

    def between(self, some: Sequence[int]) -> Float[Tensor, "rows pos d_model"]:
        """What enters layer 0 in some of the runs, counted from 1, of each prompt in turn."""
        shares = torch.tensor(some, device=self.embedded.device) / self.steps
        clean, corrupted = self.embedded[CLEAN].float(), self.embedded[CORRUPTED].float()
        rows = torch.lerp(corrupted[:, None], clean[:, None], shares[:, None, None])
        return rows.flatten(0, 1).to(self.embedded.dtype)

    def summed(
        self, rows: Float[Tensor, "*before rows pos *more"], axis: int = 0
    ) -> Float[Tensor, "*before prompt pos *more"]:
        """Numbers of `between` as their share of the mean over all runs, float32."""
        return rows.float().unflatten(axis, (len(self.targets), -1)).sum(axis + 1) / self.steps


class Sums(Protocol):
    """What takes in gradients, as the runs between come: those of a layer, and at last those at
    what enters layer 0."""

    def visit(self, layer: int, piece: Piece, gradients: Gradients) -> None: ...
    def enter(self, gradient: Float[Tensor, "rows pos d_model"]) -> None: ...


S = TypeVar("S", bound=Sums)


def cut(
    pace: Pace, group: Sequence[int], n_tokens: int, steps: int, most: int | None = None
) -> Iterator[list[int]]:
    """Prompts of as many tokens, by index, as many at a time as are differentiated together, and
    `most` of them."""
    start = 0
    while start < len(group):
        fit = _tokens(pace) // (n_tokens * steps)
        stop = start + max(1, fit if most is None else min(most, fit))
        yield list(group[start:stop])
        start = stop


def _tokens(pace: Pace) -> int:
    """How many are differentiated at a time: as many as a step takes through a block and back."""
    return min(TOKENS, max(FEWEST, pace.fitting(2 * max(pace.block_cost))))


def integrated(
    model: Model,
    pace: Pace,
    prompts: Sequence[Prompt],
    corrupted: Sequence[Target],
    metric: str,
    steps: int,
    points: Sequence[str],
    seen: Sequence[str],
    begun: Callable[[Runs], S],
) -> Steps[tuple[Runs, S]]:
    """Run prompts of one token count both ways, seeing the places `seen`, and every run between
    with gradients at `points`, which what `begun` makes of the two takes in."""
    runs = yield from both_runs(model, pace, prompts, corrupted, metric, steps, seen)
    sums = begun(runs)
    yield pace.share
    n, first = len(prompts) * runs.blocks.n_tokens, 1
    while first <= steps:
        some = range(first, min(first + max(1, _tokens(pace) // n), steps + 1))
        first = some.stop
        targets = [target for target in runs.targets for _ in some]
        _, gradient = yield from differentiated(
            model, pace, runs.blocks, runs.between(some), targets, metric, points,
            lambda _layer: {}, sums.visit,
        )  # fmt: skip
        sums.enter(gradient)
    return runs, sums


def both_runs(
    model: Model,
    pace: Pace,
    prompts: Sequence[Prompt],
    corrupted: Sequence[Target],
    metric: str,
    steps: int,
    seen: Sequence[str],
) -> Steps[Runs]:
    """The clean and the corrupted run of prompts of one token count, seeing the places `seen`.

    Raises: EngineError for a model whose layers are given more of a text than the stream.
    """
    if model.by_text:
        raise EngineError(
            f"The layers of {model.checkpoint.architecture} are given more of a text than the "
            "stream that enters the first, so there are no runs between two texts to take "
            "gradients in. The Sweep shows what each head and MLP does switched off."
        )
    targets = [p.target for p in prompts]
    blocks = Blocks(model, [target.ids for target in (*targets, *corrupted)])
    hidden, n = blocks.embedded, blocks.n_tokens
    captured: dict[Capture, Tensor] = {}

    def looking(at: Capture) -> Callable[[Tensor], None]:
        def look(passed: Tensor) -> None:
            captured[at] = passed.unflatten(0, (2, -1)).clone()  # blocks add in place

        return look

    for layer in range(model.shape.n_layers):
        looks = {(p, layer): looking((p, layer)) for p in seen if model.reaches(p, layer)}

        def work(_start: int, _stop: int, layer: int = layer, looks: dict = looks) -> None:
            nonlocal hidden
            with passing(model, n, {}, looks):
                hidden = blocks.call(layer, hidden, {})

        yield from pace.steps(1, len(hidden) * n * pace.block_cost[layer], 0, work)
    check_numbers(model, hidden, "attribute")
    values = metric_of(model, [*targets, *targets], hidden, metric).unflatten(0, (2, -1))
    yield pace.share
    acting = torch.zeros(len(prompts), n, device=hidden.device)
    for row, prompt in enumerate(prompts):
        acting[row, list(prompt.positions)] = 1.0
    embedded = blocks.embedded.unflatten(0, (2, -1))
    return Runs(blocks, tuple(targets), steps, embedded, captured, values, acting)
