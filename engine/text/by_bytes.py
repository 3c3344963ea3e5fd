"""Spelling where each token is a run of bytes, wherever it stands: byte-level BPE (GPT-2), and
SentencePiece with byte fallback (Llama)."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .spelling import PART, Decoder

Data = Callable[[Sequence[int]], Sequence[tuple[bytes, bool]]]
"""The bytes of each token, and whether it stands for a single byte."""
_BYTE_PIECE = re.compile("<0x[0-9A-Fa-f]{2}>")
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


def bytes_of_piece(piece: str, decoder: Decoder) -> tuple[bytes, bool]:
    """The bytes a vocabulary's name stands for, and whether it is one byte of SentencePiece's."""
    if decoder.byte_level:
        if all(c in GPT2_BYTES for c in piece):
            return bytes(GPT2_BYTES[c] for c in piece), False
        return piece.encode(), False
    if _BYTE_PIECE.fullmatch(piece) and "ByteFallback" in decoder.kinds:
        return bytes([int(piece[3:5], 16)]), True
    return piece.replace("▁", " ").encode(), False


def with_byte(added: bytes, data: bytes) -> bytes:
    """What a byte token adds, where its last character is that byte or only begun by it."""
    text = added.decode("utf-8", errors="replace")
    own = not text or text[-1] == PART or (ord(text[-1]) > 127 and added.endswith(data))
    return text[:-1].encode() + data if own else added


def _byte_table() -> dict[str, int]:
    """GPT-2's printable stand-ins for the 256 bytes (Radford et al. 2019, `encoder.py`)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(others)}


GPT2_BYTES = _byte_table()
"""The byte that each letter of a name in a byte-level vocabulary stands for."""
