"""Spelling where each token is a run of bytes, wherever it stands: byte-level BPE (GPT-2), and
SentencePiece with byte fallback (Llama)."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .spelling import PART

Data = Callable[[Sequence[int]], Sequence[tuple[bytes, bool]]]
"""The bytes of each token, and whether it stands for a single byte."""
_RUN = 64
"""Byte tokens in front of a text that are looked at."""


@dataclass(frozen=True)
class ByteSpelling:
    """Tokens that are bytes.

    `runs`: where byte tokens side by side are not all of them whole characters, each is shown as
    `�`, as SentencePiece's decoder has it; else only what is wrong.
    """

    data: Data
    runs: bool = False

    def begin(self, before: Sequence[int]) -> _Bytes:
        """A text behind these ids, of which only a run of bytes at the end matters."""
        run: list[bytes] = []
        for data, byte in reversed(self.data(before[-_RUN:]) if self.runs else ()):
            if not byte:
                break
            run.insert(0, data)
        return _Bytes(self, b"".join(run))


class _Bytes:
    """A text as it is written; `Writing` says what its parts are."""

    def __init__(self, spelling: ByteSpelling, run: bytes) -> None:
        self._spelling, self._run = spelling, run
        self._open = b""
        self._wrong = False
        self.tail = ""

    @property
    def broken(self) -> bool:
        return self._wrong or not _reads(self._open)

    def add(self, token: int) -> tuple[bytes, str]:
        ((data, byte),) = self._spelling.data((token,))
        settled = ""
        if not self._spelling.runs:
            self._open += data
            settled = self._whole()
        elif byte:
            self._open += data
        elif data:
            settled = self._shown() + data.decode()
            self._wrong |= not _reads(self._open)
            self._open = self._run = b""
        self.tail = self._shown()
        return data, settled

    def each(self, ids: Sequence[int]) -> tuple[bytes, ...]:
        return tuple(data for data, _ in self._spelling.data(ids))

    def _whole(self) -> str:
        """Take all but the beginning of a character from what is open."""
        reader = codecs.getincrementaldecoder("utf-8")("replace")
        text = reader.decode(self._open)
        rest = reader.getstate()[0]
        self._wrong |= not _reads(self._open[: len(self._open) - len(rest)])
        self._open = rest
        return text

    def _shown(self) -> str:
        if self._spelling.runs and not _reads(self._run + self._open):
            return PART * len(self._open)
        return self._open.decode("utf-8", errors="replace")


def _reads(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
