"""What ids spell: the text each token adds where it stands, as the tokenizer's own decoder has it.

A token's text depends on what is before it: decoders put spaces between words, glue `##ing` to the
word in front, drop a text's first space. So the text is never put together from single tokens; it
is decode(before + ids) without decode(before). Byte-level BPE, and SentencePiece with byte
fallback, need no decoder for that: there each token is a run of bytes, wherever it stands.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

PART = "�"
"""Stands for part of a character."""


@runtime_checkable
class Writing(Protocol):
    """A text as it is written, id by id, behind what was there before.

    `tail`: the end of it, which the next token may still change; what is in front of it is settled.
    `broken`: it is within a character, or holds bytes that are none.
    """

    tail: str

    @property
    def broken(self) -> bool: ...

    def add(self, token: int) -> tuple[bytes, str]:
        """Write a token. Returns: what it adds, in UTF-8 and of a character maybe only a part;
        and the text that is settled by it."""
        ...

    def each(self, ids: Sequence[int]) -> tuple[bytes, ...]:
        """What each of these tokens would add, were it the next."""
        ...


def shared(a: str, b: str) -> str:
    """What two texts both begin with."""
    n = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a[:n]


def behind(before: str, text: str) -> str:
    """A text without what it shares with the one before it."""
    return text[len(before if text.startswith(before) else shared(before, text)) :]


@runtime_checkable
class Spelling(Protocol):
    """How a tokenizer spells; `begin` starts a text behind these ids."""

    def begin(self, before: Sequence[int]) -> Writing: ...


@dataclass(frozen=True)
class Decoder:
    """What a fast tokenizer's decoder is made of, in order; `known` is false for a slow one.

    The parts are plain values, as the tokenizer's file has them.
    """

    parts: tuple[dict[str, Any], ...] = ()
    known: bool = True

    @property
    def kinds(self) -> list[str]:
        """The names of the parts."""
        return [part["type"] for part in self.parts]

    @property
    def byte_level(self) -> bool:
        """Whether each token is the bytes its letters stand for (GPT-2), wherever it stands."""
        return self.kinds == ["ByteLevel"]

    @property
    def byte_fallback(self) -> bool:
        """Whether it is SentencePiece's with byte fallback: ▁ is a space, `<0xE2>` a byte; a text's
        first space, which it may leave out, is the one SentencePiece has put there."""
        first = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
        space = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
        return (
            self.kinds[:3] == ["Replace", "ByteFallback", "Fuse"]
            and self.parts[0] == space
            and self.parts[3:] in ((), (first,))
        )

    @property
    def only_adds(self) -> bool:
        """Whether the text of more ids always begins with the text of fewer."""
        each, _, whole = " ".join(self.kinds).partition("Fuse")
        words = {"WordPiece", "Metaspace", "BPEDecoder", "Strip", "Replace"}
        stops = [part["stop"] for part in self.parts if part["type"] == "Strip"]
        return (
            self.known
            and set(each.split()) <= words
            and set(whole.split()) <= {"Strip", "Fuse"}
            and (not whole or not any(stops))
        )


def decoder_of(backend: Any) -> Decoder:
    """Read what a fast tokenizer's decoder is made of; of a slow one (None) nothing is known."""
    if backend is None:
        return Decoder(known=False)
    if backend.decoder is None:
        return Decoder()
    try:
        state = json.loads(backend.decoder.__getstate__())
        parts = state.get("decoders", [state])
        return Decoder(tuple(parts), all("type" in part for part in parts))
    except (AttributeError, TypeError, ValueError):  # one written in Python
        return Decoder(known=False)
