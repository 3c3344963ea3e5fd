"""Prompts as people hand them in: as values in a notebook, or a text of one a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import EngineError
from .families import MOST_EXAMPLES, Example


def as_examples(given: Any) -> tuple[Example, ...]:
    """Prompts as notebooks hand them in: texts, examples, pairs, tuples of a prompt and its answer;
    one, or a list of them. Raises: EngineError for what is none of these."""
    if isinstance(given, str | Example) or hasattr(given, "prompt"):
        given = [given]
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise EngineError(f"{given!r:.60} is no list of prompts.")
    return tuple(map(_as_example, given))


def _as_example(one: Any) -> Example:
    if isinstance(one, Example):
        return one
    if isinstance(one, str):
        return Example("", one)
    if isinstance(one, tuple | list) and 1 <= len(one) <= 3:
        return Example("", *one)
    if hasattr(one, "prompt"):
        return Example("", one.prompt, one.answer, one.distractor)
    raise EngineError(
        f"{one!r:.60} is no prompt: give a text, an Example, or a prompt and its answer."
    )


def read_examples(text: str) -> tuple[Example, ...]:
    """Read pasted or uploaded prompts: one a line, its answer behind a tab if it has one.

    Empty lines are left out. An answer is taken as it stands, so its leading space belongs to it.
    Raises: EngineError for more lines than are run at once.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > MOST_EXAMPLES:
        raise EngineError(f"{len(lines):,} prompts are given; at most {MOST_EXAMPLES:,}.")
    parts = [line.split("\t") for line in lines]
    return tuple(Example("", part[0], *part[1:2]) for part in parts)
