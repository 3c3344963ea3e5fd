"""Texts cut into windows of tokens, and what neurons hold in them, a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import EngineError
from ..model.model import Model
from ..model.worker import Steps
from ..passes import forward
from ..passes.pace import Pace

MOST_LETTERS = 2_000_000
MOST_READ = 200_000
"""Tokens that are run."""

Window = tuple[int, tuple[int, ...]]
"""Of which text, and its ids."""


def as_texts(given: Any, what: str) -> tuple[str, ...]:
    """Texts as notebooks hand them in: one, or several. Raises: EngineError for what is none."""
    texts = (given,) if isinstance(given, str) else given
    if not isinstance(texts, Sequence) or not all(isinstance(one, str) for one in texts):
        raise EngineError(f"{what} is a text, or several, not {given!r:.60}.")
    if not any(one.strip() for one in texts):
        raise EngineError(f"{what} is empty: give a text, or several.")
    if (n := sum(map(len, texts))) > MOST_LETTERS:
        raise EngineError(f"{what} has {n:,} characters; at most {MOST_LETTERS:,}.")
    return tuple(texts)


def windows(
    model: Model, texts: Sequence[str], length: int, most: int = MOST_READ
) -> Steps[list[Window]]:
    """Each text as windows of at most `length` tokens, each with the BOS in front that the
    tokenizer puts there. A text is a step: tokenizers read no text in parts.

    Raises: EngineError for more tokens than are run, or where none is left of all texts.
    """
    result: list[Window] = []
    total = 0
    bos: tuple[int, ...] = ()
    if model.tokenizer.adds_bos:
        bos = (model.tokenizer.bos_id or 0,)
    for index, text in enumerate(texts):
        (ids,) = model.tokenizer.ids_of([text])
        room = max(1, length - len(bos))
        total += len(ids)
        if total > most:
            raise EngineError(
                f"The text is longer than {most:,} tokens, which are run at most; cut it."
            )
        for start in range(0, len(ids), room):
            window = (*bos, *ids[start : start + room])
            forward.check_ids(model, window)
            result.append((index, window))
        yield 0.0
    if not result:
        raise EngineError("No token is left of the text.")
    return result


def run_rows(
    model: Model,
    pace: Pace,
    rows: Sequence[forward.Row],
    take: Callable[[int, forward.RowResult], None],
) -> Steps[None]:
    """Run rows of any length, as many of one length at a time as fit in a step, and hand over each
    by its index with what it gave."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    start = 0
    while start < len(order):
        n = len(rows[order[start]].ids)
        stop = next((j for j in range(start, len(order)) if len(rows[order[j]].ids) != n), None)
        group = order[start:stop]
        start += len(group)

        def work(first: int, last: int, group: list[int] = group) -> None:
            some = group[first:last]
            for i, result in zip(some, forward.run(model, [rows[i] for i in some]), strict=True):
                take(i, result)

        cost = max(row_cost(pace, rows[i]) for i in group)
        nbytes = max(forward.row_bytes(model, rows[i]) for i in group)
        yield from pace.steps(len(group), cost, nbytes, work)


def row_cost(pace: Pace, row: forward.Row) -> float:
    """Operations of one row."""
    return len(row.ids) * sum(pace.block_cost) + len(row.logits_at) * pace.unembedding_cost
