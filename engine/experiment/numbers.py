"""Numbers as notebooks hand them in: those that are meant are taken, others refused in words."""

from __future__ import annotations

import operator
from typing import Any

from ..errors import ExperimentError


def whole_number(value: Any, what: str) -> int:
    """An integer of whatever type, numpy's too, or a number such as 3.0 that is one.

    Raises: ExperimentError naming `what` is to be one, for anything else.
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass
    raise ExperimentError(f"{what} is a whole number, not {value!r:.60}.")


def whole_or_none(value: Any, what: str) -> int | None:
    """The same, or None where nothing is given."""
    return None if value is None else whole_number(value, what)


def number(value: Any, what: str) -> float:
    """A real number of whatever type. Raises: ExperimentError for anything else."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise ExperimentError(f"{what} is a number, not {value!r:.60}.")
    return float(value)
