"""Stand-ins that note what a function is called with, and do what it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def noting(
    notes: list[Any], what: Callable[..., Any], own: Callable[..., Any]
) -> Callable[..., Any]:
    """`own`, each of whose calls adds `what` of its arguments to the notes."""

    def call(*args: Any, **named: Any) -> Any:
        notes.append(what(*args, **named))
        return own(*args, **named)

    return call
