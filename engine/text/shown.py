"""A token as people read it, its bytes in hex where they are no character by themselves."""

from __future__ import annotations

import re

from ..showing.writing import visible
from .by_bytes import GPT2_BYTES
from .spelling import PART

_BYTE = re.compile("<0x([0-9A-Fa-f]{2})>")


def token_text(text: str, piece: str) -> str:
    """What a token adds to a text, by the vocabulary's own name of it, as people read it.

    White space is made visible. Bytes that are only part of a character are hex: `⟨F0 9F⟩`; so is
    a byte token, behind the character where it is one: `<0x0A>` is `⏎⟨0A⟩`. `∅` where nothing is.
    """
    byte = _BYTE.fullmatch(piece)
    if byte and text != piece:
        return f"{'' if PART in text else visible(text)}⟨{byte[1].upper()}⟩"
    if PART in text and all(c in GPT2_BYTES for c in piece):
        return _read(bytes(GPT2_BYTES[c] for c in piece))
    return visible(text) or "∅"


def _read(data: bytes) -> str:
    """Bytes as people read them, those that are no characters side by side in hex."""
    text = data.decode("utf-8", errors="surrogateescape")
    return "".join(
        f"⟨{part.encode('utf-8', errors='surrogateescape').hex(' ').upper()}⟩"
        if "\udc80" <= part[0] <= "\udcff"
        else visible(part)
        for part in re.findall("[\udc80-\udcff]+|[^\udc80-\udcff]+", text)
    )
