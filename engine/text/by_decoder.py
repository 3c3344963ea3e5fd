"""Spelling by the tokenizer's own decoder, for every kind whose tokens are not simply bytes.

What a token adds is decode(ids before + token) without decode(ids before), in a window of the last
tokens, so that a step of a long text costs what one of a short text does. A plain word in front of
the window takes what a decoder does only to the first token of a text. Where a decoder may change
what it has said (`hel@@` and `lo` give `hello`; half a character is `�`), what would stay is seen
by decoding once more with a plain word behind, and with a byte that is no character.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from .spelling import PART, behind, shared

DecodeMany = Callable[[list[list[int]]], list[str]]
_LAST = 8
"""Tokens in front that are decoded with the next: no decoder looks back further than a word's
pieces touch, or a character's bytes reach."""
_LONG = 32
_MOST = 256
"""Tokens a window may hold while bytes that may yet be a character go on and on."""
_KEPT = 4
"""Places whose every next token's text is kept."""
_AT_ONCE = 64


@dataclass(frozen=True)
class _Read:
    """Some ids decoded: `now` as they are, `shown` what of it stays before another word, `settled`
    what of it stays whatever comes."""

    now: str
    shown: str
    settled: str


class DecoderSpelling:
    """Spells by decoding.

    `word`: the id of a plain word; `byte`: that of a byte which is in no character; each empty
    where there is none. `only_adds`: what is decoded never changes what was before.
    """

    def __init__(
        self, decode: DecodeMany, word: tuple[int, ...], byte: tuple[int, ...], only_adds: bool
    ) -> None:
        self._decode, self._word, self._byte, self._only_adds = decode, word, byte, only_adds
        self._kept: LRUCache[tuple[int, ...], dict[int, str]] = LRUCache(_KEPT)
        self._lock = threading.Lock()

    def begin(self, before: Sequence[int]) -> _Decoded:
        """A text behind these ids."""
        window = list(before)
        if len(window) > _LONG:
            window = self.shorter(window)
        return _Decoded(self, window, self.read(window))

    def shorter(self, window: Sequence[int]) -> list[int]:
        """The end of a window behind a plain word."""
        return [*self._word, *window[-_LAST:]]

    def read(self, ids: Sequence[int]) -> _Read:
        """Decode ids, and see what of it stays."""
        if not ids:
            return _Read("", "", "")
        behind = [] if self._only_adds else [x for x in (self._word, self._byte) if x]
        now, *others = self._decode([list(ids), *([*ids, *more] for more in behind)])
        if self._only_adds:
            return _Read(now, now, now)
        shown = _stays(now, others[0]) if self._word else now.rstrip(PART)
        return _Read(now, shown, shared(shown, others[-1]) if others else shown)

    def each(self, window: list[int], before: _Read, ids: Sequence[int]) -> tuple[str, ...]:
        """What each id adds behind a window that reads so."""
        with self._lock:
            kept = self._kept.setdefault(tuple(window), {})
        new = [i for i in dict.fromkeys(map(int, ids)) if i not in kept]
        texts = self._decode([[*window, i] for i in new])
        stay = texts
        if not self._only_adds and self._word:
            longer = self._decode([[*window, i, *self._word] for i in new])
            stay = [_stays(*pair) for pair in zip(texts, longer, strict=True)]
        for i, text, stays in zip(new, texts, stay, strict=True):
            kept[i] = _added(before, text, stays)
        return tuple(kept[int(i)] for i in ids)


class _Decoded:
    """A text as it is written; `Writing` says what its parts are."""

    def __init__(self, spelling: DecoderSpelling, window: list[int], read: _Read) -> None:
        self._spelling, self._window, self._read = spelling, window, read
        self._owed = read.now[len(read.settled) :]  # of what was before, not settled yet
        self.tail = ""

    @property
    def broken(self) -> bool:
        return self.tail.endswith(PART) and self._read.shown != self._read.now

    def add(self, token: int) -> tuple[bytes, str]:
        old, window = self._read, [*self._window, token]
        new = self._spelling.read(window)
        adds = _added(old, new.now, new.shown)
        settled = behind(old.settled, new.settled)
        before = shared(self._owed, settled)
        settled = settled[len(before) :]
        self._owed = "" if settled else self._owed[len(before) :]
        self.tail = behind(self._owed, new.now[len(new.settled) :])
        self._window, self._read = window, new
        if len(window) > _LONG:
            self._shorten()
        return adds.encode(), settled

    def each(self, ids: Sequence[int]) -> tuple[bytes, ...]:
        result = self._spelling.each(self._window, self._read, ids)
        return tuple(text.encode() for text in result)

    def _shorten(self) -> None:
        """Drop the window's beginning, where its end reads the same without it."""
        window = self._spelling.shorter(self._window)
        read, own = self._spelling.read(window), self._read
        same = read.now[len(read.settled) :] == own.now[len(own.settled) :]
        same &= read.now[len(read.shown) :] == own.now[len(own.shown) :]
        if same or len(self._window) > _MOST:
            self._window, self._read = window, read


def _stays(text: str, longer: str) -> str:
    """What of a text stays when a word comes behind it; half a character does not."""
    return shared(text, longer).rstrip(PART)


def _added(before: _Read, now: str, stays: str) -> str:
    adds = behind(before.shown, stays)
    half = now.endswith(PART) and not stays.endswith(PART) and now != before.now
    return adds + PART if half else adds


def plain_word(ids: Sequence[int], decoded: DecodeMany) -> tuple[int, ...]:
    """The id of a token that spells letters or a number by itself, if there is one."""
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        for i, text in zip(part, decoded([[i] for i in part]), strict=True):
            if text.strip().isalnum():
                return (i,)
    return ()
