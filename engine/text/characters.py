"""Characters as sentences name them: “é” (U+00E9), line feed (U+000A), “thé” (U+00E9)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_MOST = 5
_LONG = 20
_NAMES = {"\n": "line feed", "\t": "tab", "\r": "carriage return", "\ufeff": "byte-order mark"}


def code(c: str) -> str:
    """A character's place in Unicode: U+00E9."""
    return f"U+{ord(c):04X}"


def is_seen(c: str) -> bool:
    """Whether a character shows by itself: no space, control, mark on another, or half."""
    return c.isprintable() and not c.isspace() and not unicodedata.combining(c)


def bare(c: str) -> str:
    """A character by itself: “é” where it can be seen, else what Unicode calls it."""
    if is_seen(c):
        return f"“{c}”"
    return _NAMES.get(c) or unicodedata.name(c, "control character").lower()


def named(text: str) -> str:
    """One or more characters side by side, with the codes of those a reader might mistake."""
    if len(text) == 1 or not any(map(is_seen, text)):
        return listed(f"{bare(c)} ({code(c)})" for c in text)
    odd = [code(c) for c in dict.fromkeys(text) if not is_seen(c) or ord(c) > 126]
    shown = "".join(c if c.isprintable() else f"⟨{ord(c):04X}⟩" for c in text)
    shown = shown if len(shown) <= _LONG else shown[: _LONG - 1] + "…"
    more = f", and {len(odd) - _MOST} more" if len(odd) > _MOST else ""
    return f"“{shown}”" + (f" ({', '.join(odd[:_MOST])}{more})" if odd else "")


def counted(n: int, c: str) -> str:
    """A number of one character: “2 line feeds (U+000A)”."""
    return f"{n:,} {bare(c)}{'s' if n != 1 and not is_seen(c) else ''} ({code(c)})"


def listed(parts: Iterable[str], most: int = _MOST) -> str:
    """Each different part once: “a, b and c”, or the first ones “and 3 more”."""
    each = list(dict.fromkeys(parts))
    shown = each if len(each) <= most else [*each[:most], f"{len(each) - most:,} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
