"""Boxes and choices of a page that live in the link, and what is in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, TypeVar

import streamlit as st

import engine

T = TypeVar("T", int, float)
MATCHED = {"layer": "layer-matched", "anywhere": "from any layer"}
"""Which random circuits are controls."""


def choice(
    label: str, key: str, names: Mapping[Any, Any], bare: bool = False, help: str | None = None
) -> None:
    """Draw a choice that lives in the link; `bare`, without its label."""
    st.segmented_control(
        label,
        list(names),
        key=key,
        format_func=names.__getitem__,
        required=True,
        wrap=True,
        label_visibility="collapsed" if bare else "visible",
        help=help,
    )


def written(name: str) -> str:
    """The text in a box, without spaces around it."""
    return (st.session_state[name] or "").strip()


def count_in(name: str) -> int | None:
    """The whole number from 0 on in a box, up to nine digits; None where there is none."""
    return int(written(name)) if re.fullmatch(r"[0-9]{1,9}", written(name)) else None


def whole(name: str, label: str) -> int:
    """The whole number in a box. Raises: EngineError for what is none."""
    return _number(name, int, label)


def number(name: str, label: str) -> float:
    """The number in a box. Raises: EngineError for what is none."""
    return _number(name, float, label)


def _number(name: str, kind: Callable[[str], T], label: str) -> T:
    text = written(name)
    what = "a whole number" if kind is int else "a number"
    wrong = engine.EngineError(f"{label}: “{text[:20]}” is not {what}.")
    try:
        result = kind(text)
    except ValueError:
        raise wrong from None
    if not isfinite(result):  # nan, which is not even itself, would be asked for again and again
        raise wrong
    return result
