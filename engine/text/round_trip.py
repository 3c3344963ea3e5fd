"""Where the tokens of a text do not spell it, and what became of its characters there.

Tokens are set against the characters they stand for, and only where the two differ are they
compared letter by letter: “É” against “e” is one character changed, not one lost and one made up.
What is said is what the decoder spells; whether the tokens are really those of that spelling is for
the tokenizer to confirm.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import Enum

_MOST = 1_000_000
"""Pairs of characters that are compared at once."""
_RUN = 200


class Fate(Enum):
    """What became of characters between a text and its tokens."""

    UNKNOWN = "in their place stands the token for what a vocabulary does not have"
    SWALLOWED = "they belong to the token of a marker beside them"
    CHANGED = "the tokens spell others"
    DROPPED = "the tokens spell nothing"
    ADDED = "the tokens spell what is not in the text"


@dataclass(frozen=True)
class Difference:
    """Characters [start, end) of a text, what became of them, and `read`: what is spelt instead.

    For what is unknown or swallowed `read` is the name of the token.
    """

    start: int
    end: int
    fate: Fate
    read: str = ""


@dataclass(frozen=True)
class Spelt:
    """A token beside a text: the characters [start, end) it stands for, and the bytes it adds.

    `marker`: its name where it is matched as a whole (`<|user|>`), else empty. `unknown`: whether
    it stands for whatever the vocabulary does not have.
    """

    start: int
    end: int
    data: bytes
    marker: str = ""
    unknown: bool = False


_Symbol = str | int
"""A character, or the index of a token that is compared as a whole."""


def differences(text: str, tokens: Sequence[Spelt], placed: bool) -> tuple[Difference, ...] | None:
    """Where tokens do not spell a text, in order; None for a text too long to compare.

    `placed`: whether the tokens know which characters they stand for.
    """
    source: dict[int, _Symbol] = dict(enumerate(text))
    result: list[Difference] = []
    whole = _wholes(text, tokens, source, result)
    for characters, spelling in _runs(text, tokens, source, whole, placed):
        if len(characters) * len(spelling) > _MOST:
            return None
        result += _compared(characters, spelling, tokens)
    return tuple(sorted(result, key=lambda one: (one.start, one.end)))


def spelt(text: str, result: Sequence[Difference]) -> str:
    """The text as its tokens spell it, what is unknown or swallowed left as it is."""
    parts, at = [], 0
    for one in result:
        if one.fate not in (Fate.UNKNOWN, Fate.SWALLOWED):
            parts += [text[at : one.start], one.read]
            at = max(at, one.end)
    return "".join(parts) + text[at:]


def _wholes(
    text: str, tokens: Sequence[Spelt], source: dict[int, _Symbol], result: list[Difference]
) -> set[int]:
    """Put markers and unknown tokens in the place of the characters they stand for; of the
    characters beyond a marker's name note that they are swallowed."""
    whole = set()
    for k, token in enumerate(tokens):
        start, end = token.start, token.end
        own = text[start:end]
        at = own.find(token.marker) if token.marker else -1
        if at >= 0:
            first, last = start + at, start + at + len(token.marker)
            sides = ((start, first), (last, end))
            result += [Difference(a, b, Fate.SWALLOWED, token.marker) for a, b in sides if a < b]
        elif token.unknown and own:
            result.append(Difference(start, end, Fate.UNKNOWN, token.data.decode().strip()))
            first = start
        else:
            continue
        for position in range(start, end):
            source.pop(position, None)
        source[first] = k
        whole.add(k)
    return whole


def _runs(
    text: str,
    tokens: Sequence[Spelt],
    source: dict[int, _Symbol],
    whole: set[int],
    placed: bool,
) -> Iterator[tuple[list[tuple[int, _Symbol]], list[_Symbol]]]:
    """Stretches of the text with what tokens spell there, those that are alike left out."""
    characters: list[tuple[int, _Symbol]] = []
    spelling: list[_Symbol] = []
    for start, end, part in _blocks(len(text), tokens, placed):
        characters += [(at, source[at]) for at in range(start, end) if at in source]
        spelling += _spelling(tokens, part, whole)
        alike = [symbol for _, symbol in characters] == spelling
        if not alike and len(characters) <= _RUN and end < len(text):
            continue
        if not alike:
            yield characters, spelling
        characters, spelling = [], []
    if characters or spelling:
        yield characters, spelling


def _blocks(n: int, tokens: Sequence[Spelt], placed: bool) -> Iterator[tuple[int, int, range]]:
    """The text cut where a token ends and the next begins, each with its tokens; characters that
    no token stands for are with the tokens behind them."""
    if not placed or not tokens:
        yield 0, n, range(len(tokens))
        return
    start, first, reach = 0, 0, 0
    for k, token in enumerate(tokens):
        if k > first and token.end > token.start >= reach > start:
            yield start, reach, range(first, k)
            start, first = reach, k
        reach = max(reach, token.end)
    yield start, n, range(first, len(tokens))


def _spelling(tokens: Sequence[Spelt], part: range, whole: set[int]) -> list[_Symbol]:
    """What tokens spell side by side, those that are compared as a whole by their index."""
    result: list[_Symbol] = []
    data = b""
    for k in part:
        token = tokens[k]
        if k not in whole and not token.unknown:
            data += token.data
            continue
        name = token.marker.encode() or token.data.strip()
        before, _, behind = token.data.partition(name) if name else (b"", b"", b"")
        result += [*_decoded(data + before), k]
        data = behind
    return [*result, *_decoded(data)]


def _compared(
    characters: list[tuple[int, _Symbol]], spelling: list[_Symbol], tokens: Sequence[Spelt]
) -> list[Difference]:
    """The differences of one stretch."""
    own = [symbol for _, symbol in characters]
    at = [position for position, _ in characters]
    ends = [*at, at[-1] + 1 if at else 0]
    result: list[Difference] = []
    matcher = SequenceMatcher(None, [*map(_likeness, own)], [*map(_likeness, spelling)], False)
    for kind, i, j, a, b in matcher.get_opcodes():
        left, right = own[i:j], spelling[a:b]
        if kind == "equal" or (kind == "replace" and j - i == b - a and _letters(right)):
            result += [
                Difference(position, position + 1, Fate.CHANGED, y)
                for position, x, y in zip(at[i:j], left, right, strict=True)
                if isinstance(x, str) and isinstance(y, str) and x != y
            ]
            continue
        unknown = [s for s in right if isinstance(s, int) and tokens[s].unknown]
        if left and unknown:
            name = tokens[unknown[0]].data.decode().strip()
            result.append(Difference(at[i], at[j - 1] + 1, Fate.UNKNOWN, name))
            continue
        read = "".join(symbol for symbol in right if isinstance(symbol, str))
        last = result[-1] if result else None
        grows = last and last.fate is Fate.CHANGED and last.end == ends[i] and not left
        if last and grows and read and not any(map(str.isspace, read)):  # “ﬁ” is “fi”
            result[-1] = Difference(last.start, last.end, Fate.CHANGED, last.read + read)
            continue
        start, end = (at[i], at[j - 1] + 1) if left else (ends[i], ends[i])
        fate = Fate.ADDED if not left else Fate.CHANGED if read else Fate.DROPPED
        if left or read:
            result.append(Difference(start, end, fate, read))
    return result


def _letters(symbols: Sequence[_Symbol]) -> bool:
    return all(isinstance(symbol, str) for symbol in symbols)


def _likeness(symbol: _Symbol) -> _Symbol:
    """The same for a letter in capitals or not, with marks or without."""
    if isinstance(symbol, int):
        return symbol
    return unicodedata.normalize("NFKD", symbol).casefold()[:1] or symbol


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
