"""Many prompts in many runs, in batches of one length each that fit the byte budget."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..errors import EngineError
from ..experiment.experiment import Experiment
from ..experiment.results import Tokens
from ..model.model import Model
from ..passes import forward
from ..passes.decoding import Changes, Decoding, OutOfMemory, row_bytes
from ..passes.hooks import Edit
from ..passes.overflow import overflow
from ..passes.prepare import prepare
from .many_rows import RawRow
from .rest import Rest
from .runs import Run
from .sampling import Sampling
from .schedule import Schedule, Span

T = TypeVar("T")

_MOST_ROWS = 256
"""Rows in a batch: more are no quicker, and what is done would come later."""


@dataclass(frozen=True)
class ManyPlan:
    """What to run: `prompts` as tokens, or why they have none; the runs of each, with the
    experiment each is of; how many tokens to take, and how; and the prompts, by their index, that
    are done already."""

    prompts: tuple[Tokens | str, ...]
    runs: tuple[Run, ...]
    experiments: tuple[Experiment, ...]
    n_new: int
    sampling: Sampling
    done: frozenset[int] = frozenset()


@dataclass
class _Row:
    """One prompt in one run, on its way: what was taken, and the log-probability of it."""

    index: int
    run: int
    ids: tuple[int, ...]
    taken: list[int]
    log_prob: float = 0.0


def work(model: Model, plan: ManyPlan, put: Callable[[Any], None]) -> Generator[float, None, str]:
    """The job: hands over each prompt once all of its runs are done."""
    n_runs = len(plan.runs)
    by_length: dict[int, list[int]] = {}
    for index, tokens in enumerate(plan.prompts):
        if index in plan.done:
            continue
        if isinstance(tokens, str):
            put(RawRow(index, (None,) * n_runs, (tokens,) * n_runs))
        else:
            by_length.setdefault(len(tokens), []).append(index)

    def cost(n_rows: int, length: int) -> tuple[int, int]:
        return n_rows * length, n_rows * (room(model, length, plan.n_new) - 1)

    every = [cost(n_runs * len(indices), length) for length, indices in by_length.items()]
    rest = Rest(sum(tokens for tokens, _ in every), sum(singles for _, singles in every))
    for length, indices in sorted(by_length.items()):
        schedules, errors = yield from _schedules(model, plan, indices[0], rest)
        results: dict[int, dict[int, _Row | str]] = {i: {} for i in indices}
        rows = [
            _Row(i, run, plan.prompts[i].ids, [])  # type: ignore[union-attr]
            for i in indices
            for run in range(n_runs)
            if not errors[run]
        ]
        for i in indices:
            results[i] |= {run: why for run, why in enumerate(errors) if why}
        rest.left = _less(rest.left, cost(n_runs * len(indices) - len(rows), length))
        n_new = room(model, length, plan.n_new)
        waiting = _batches(rows, model, length, n_new)
        while waiting:
            batch, before = waiting.pop(0), rest.left
            try:
                for step, n_read in enumerate(_batch(model, plan, batch, schedules, n_new)):
                    rest.read(n_read, one_by_one=step > 0)
                    yield rest.share
                rest.left = _less(before, cost(len(batch), length))
            except OutOfMemory as wrong:
                rest.left = before
                if len(batch) > 1:
                    half = len(batch) // 2
                    waiting = [_again(batch[:half]), _again(batch[half:]), *waiting]
                    continue
                results[batch[0].index][batch[0].run] = str(wrong)
                rest.left = _less(before, cost(1, length))
            for row in batch:
                results[row.index].setdefault(row.run, row)
            for i in [i for i, result in results.items() if len(result) == n_runs]:
                put(_done(i, results.pop(i)))
        for i in list(results):
            put(_done(i, results.pop(i)))
    return f"All {len(plan.prompts)} prompts are done."


def _less(left: tuple[int, int], done: tuple[int, int]) -> tuple[int, int]:
    return left[0] - done[0], left[1] - done[1]


def _schedules(
    model: Model, plan: ManyPlan, index: int, rest: Rest
) -> Generator[float, None, tuple[list[Schedule], list[str]]]:
    """How each run acts on prompts of one length, or why it cannot: values by position depend on
    a prompt's length and on nothing else of it."""
    tokens = plan.prompts[index]
    assert not isinstance(tokens, str)
    schedules, errors = [], []
    for e in plan.experiments:
        spans, why = [], ""
        try:
            prepared = yield from _beside(
                prepare(model, replace(e, prompt=tokens.text), tokens), rest
            )
            spans = [(Span(e), prepared)]
        except EngineError as wrong:
            why = str(wrong)
        schedules.append(Schedule(len(tokens), spans))
        errors.append(why)
    return schedules, errors


def _beside(preparing: Generator[float, None, T], rest: Rest) -> Generator[float, None, T]:
    """The same with how far all of it is in the place of how far this is."""
    while True:
        try:
            next(preparing)
        except StopIteration as over:
            return over.value
        finally:
            rest.wait()
        yield rest.share


def room(model: Model, length: int, wanted: int) -> int:
    """How many of the tokens asked for fit behind a prompt; the last need not be read."""
    most = model.shape.n_ctx
    return wanted if most is None else min(wanted, most - length + 1)


def _batches(rows: list[_Row], model: Model, length: int, n_new: int) -> list[list[_Row]]:
    each = max(1, forward.CHUNK_BYTES // row_bytes(model, length, length + n_new))
    each = min(each, _MOST_ROWS)
    return [rows[start : start + each] for start in range(0, len(rows), each)]


def _again(rows: list[_Row]) -> list[_Row]:
    return [_Row(row.index, row.run, row.ids, []) for row in rows]


def _done(index: int, results: Mapping[int, _Row | str]) -> RawRow:
    each = [results[run] for run in sorted(results)]
    return RawRow(
        index,
        tuple(None if isinstance(r, str) else (tuple(r.taken), r.log_prob) for r in each),
        tuple(r if isinstance(r, str) else "" for r in each),
    )


def _batch(
    model: Model, plan: ManyPlan, batch: list[_Row], schedules: list[Schedule], n_new: int
) -> Generator[int, None, None]:
    """Generate for rows of one length together. Yields: how many tokens each step has read.

    A row whose text has ended stays in the batch, unlooked at, until half of them have.
    """
    decoding, going = Decoding(model), batch
    ids = torch.tensor([row.ids for row in batch], device=model.device)
    for step in range(n_new):
        n_read = ids.numel()
        logits = decoding.read(ids, _changes(schedules, going))[:, -1]
        taken = _taken(plan.sampling, going, logits, step)
        own = logits.log_softmax(-1).gather(1, taken[:, None])[:, 0]
        if not own.isfinite().all():
            raise overflow(model, "generate from")
        ended = []
        for row, token, log_prob in zip(going, taken.tolist(), own.tolist(), strict=True):
            if not (row.taken and row.taken[-1] in model.ends):
                row.taken.append(token)
                row.log_prob += log_prob
            ended.append(row.taken[-1] in model.ends)
        left = [i for i, over in enumerate(ended) if not over]
        if not left:
            return
        ids = taken[:, None]
        if 2 * len(left) <= len(going):
            decoding.keep(left)
            going, ids = [going[i] for i in left], ids[left]
        yield n_read


def _changes(schedules: list[Schedule], rows: list[_Row]) -> Changes:
    def changes(first: int, stop: int) -> list[tuple[Edit, ...]]:
        edits = {run: schedules[run].reading(first, stop) for run in {row.run for row in rows}}
        return [edits[row.run] for row in rows]

    return changes


def _taken(sampling: Sampling, rows: list[_Row], logits: Tensor, step: int) -> Tensor:
    """The ids taken; the runs of a prompt draw with its own seed."""
    if not sampling.temperature:
        return sampling.take(logits, step)
    taken = torch.empty(len(rows), dtype=torch.long, device=logits.device)
    for index in {row.index for row in rows}:
        mine = [i for i, row in enumerate(rows) if row.index == index]
        own = replace(sampling, seed=sampling.seed + index)
        taken[mine] = own.take(logits[mine], step)
    return taken
