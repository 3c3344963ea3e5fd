"""Shapes are checked where arrays are named, and only there.

jaxtyping's import hook wraps every function of the engine, and a wrapped call costs tens of
microseconds, which was most of what the tests took. In a function that names no array it has no
shape to check.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from typing import Any

import jaxtyping

_whole = jaxtyping.jaxtyped


def check_only_arrays() -> None:
    """To be called before the engine is imported: its functions are wrapped as they are read."""
    setattr(jaxtyping, "jaxtyped", _jaxtyped)  # noqa: B010  its type has overloads


def _jaxtyped(**options: Any) -> Callable[[Any], Any]:
    return lambda what: _whole(**options)(what) if names_arrays(what) else what


def names_arrays(what: Any) -> bool:
    """Whether an annotation of a function, a class or what it inherits names an array's shape."""
    return any(map(_has_shape, what.__mro__ if isinstance(what, type) else (what,)))


def _has_shape(part: Any) -> bool:
    known = vars(sys.modules[part.__module__])
    words = re.findall(r"\w+", " ".join(map(str, inspect.get_annotations(part).values())))
    return any(getattr(known.get(word), "__module__", "") == "jaxtyping" for word in words)
