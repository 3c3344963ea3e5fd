"""How a generation goes on: its runs together in one batch, or each by itself, tokenized anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..experiment.results import Tokens
from ..model.model import Model
from ..passes.decoding import Decoding
from ..text.rereading import Rereading
from .sampling import Sampling
from .schedule import Schedule, Span
from .step_numbers import StepNumbers

_FORCED = 32
"""Tokens of a prefix that are read at a time."""


@dataclass(frozen=True)
class GenerationPlan:
    """A generation, ready to run: `prefix` are each run's forced ids and `when` what acts in it,
    `against` the run that the first is compared with; `n_new` the tokens to take after the prefix,
    `clipped` whether that is all that fits rather than all that was asked for."""

    prompt: Tokens
    prefix: tuple[tuple[int, ...], ...]
    when: tuple[tuple[Span, ...], ...]
    against: int
    n_new: int
    clipped: bool
    sampling: Sampling
    k: int
    retokenize: bool

    @property
    def first(self) -> int:
        """The first step whose token is not given."""
        return len(self.prefix[0])


class Appending:
    """Runs that go on together: ids are appended, so all are of one length."""

    fits = True  # the plan has seen to it
    logits: Tensor

    def __init__(self, model: Model, plan: GenerationPlan, schedules: list[Schedule]) -> None:
        self._model, self._plan, self._schedules = model, plan, schedules
        self._decoding = Decoding(model)
        self._taken = self._tensor([plan.prompt.ids] * len(schedules))
        self.read()

    def forced(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Read the prefix. Yields: each step's logits [runs d_vocab] and the tokens given."""
        ids = self._tensor(self._plan.prefix)
        for start in range(0, ids.shape[1], _FORCED):
            part = ids[:, start : start + _FORCED]
            before, after = self.logits, self._read(part, part.shape[1])
            for i in range(part.shape[1]):
                yield before if i == 0 else after[:, i - 1], part[:, i]
            self.logits = after[:, -1]

    def append(self, result: StepNumbers) -> tuple[tuple[int, ...] | None, ...]:
        """Take note of the tokens taken. Returns: each run's ids, where they were rewritten."""
        self._taken = self._tensor(result.taken[:, None].tolist())
        return (None,) * len(self._schedules)

    def go_on_with(self, ids: Sequence[int], afresh: bool) -> None:
        """Have the only run read these ids next, behind the others or in the place of all."""
        self._taken = self._tensor([ids])
        if afresh:
            self._decoding = Decoding(self._model)

    def read(self) -> None:
        """Read what was appended: `logits` [runs d_vocab] are then those of the next step."""
        self.logits = self._read(self._taken, 1)[:, -1]

    def _read(self, ids: Tensor, last: int) -> Tensor:
        return self._decoding.read(
            ids, lambda first, stop: [one.reading(first, stop) for one in self._schedules], last
        )

    def _tensor(self, ids: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor(ids, dtype=torch.long, device=self._model.device)


class Rewriting:
    """Runs whose whole text is tokenized anew after every token: each goes on by itself, and is
    read again from the beginning where its ids have changed."""

    def __init__(self, model: Model, plan: GenerationPlan, schedules: list[Schedule]) -> None:
        self._most = model.shape.n_ctx
        self._runs = [
            Appending(model, replace(plan, prefix=(prefix,)), [one])
            for prefix, one in zip(plan.prefix, schedules, strict=True)
        ]
        self._texts = [Rereading(model.tokenizer, plan.prompt, run) for run in plan.prefix]
        self._ids = [list(plan.prompt.ids + run) for run in plan.prefix]

    @property
    def logits(self) -> Tensor:
        return torch.cat([run.logits for run in self._runs])

    @property
    def fits(self) -> bool:
        return self._most is None or max(map(len, self._ids)) <= self._most

    def forced(self) -> Iterator[tuple[Tensor, Tensor]]:
        for step in zip(*(run.forced() for run in self._runs), strict=True):
            yield torch.cat([logits for logits, _ in step]), torch.cat([ids for _, ids in step])

    def append(self, result: StepNumbers) -> tuple[tuple[int, ...] | None, ...]:
        rewritten: list[tuple[int, ...] | None] = []
        for run, (text, ids) in enumerate(zip(self._texts, self._ids, strict=True)):
            token = int(result.taken[run])
            text.add([token])
            ids.append(token)
            anew = text.ids()
            if anew is None or anew == ids:
                rewritten.append(None)
                self._runs[run].go_on_with([token], afresh=False)
            else:
                self._ids[run] = anew
                rewritten.append(tuple(anew))
                self._runs[run].go_on_with(anew, afresh=True)
        return tuple(rewritten)

    def read(self) -> None:
        for run in self._runs:
            run.read()
