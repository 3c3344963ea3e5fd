"""Answers that may be None, where a test is about one that is there."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def some(answer: T | None) -> T:
    """The answer, which must be there."""
    assert answer is not None
    return answer
