"""Tokens as the plain data of the token_rows component."""

from typing import Any

import engine
from pages._parts.text import token_text

_MOST = 14
"""Tokens of a text shown in a row where rows are compared at their ends."""


def chips(
    tokens: engine.Tokens, first: int = 0, last: int | None = None, odd_from: int = -1
) -> list:
    """The tokens [first, last); those from `odd_from` on are marked."""
    ends = range(*slice(first, last).indices(len(tokens)))
    return [
        [
            token_text(tokens.texts[i], tokens.pieces[i]),
            tokens.pieces[i],
            tokens.ids[i],
            0 <= odd_from <= i,
        ]
        for i in ends
    ]


def clipped(all_chips: list) -> list[Any]:
    """The chips of a long text's beginning and end, with None for what is between."""
    if len(all_chips) <= _MOST:
        return all_chips
    return [*all_chips[:4], None, *all_chips[4 - _MOST :]]


def block(head: str, cells: list, differs: bool = False) -> dict[str, Any]:
    """One block of chips: for each row a list of them."""
    return {"head": head, "cells": cells, "differs": differs}


def row(name: str, note: str = "", facts: list | None = None, error: str = "") -> dict[str, Any]:
    """One row: its name, and facts as lines of (text, number), or an error in their place."""
    return {"name": name, "note": note, "facts": facts or [], "error": error}


def count(n: int) -> str:
    """“1 token”, “2 tokens”."""
    return f"{n:,} token{'' if n == 1 else 's'}"
