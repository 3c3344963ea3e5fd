"""Whether a text can be cut at its spaces and its parts be tokenized each by itself."""

from __future__ import annotations

import re
from typing import Any

SPACE_BETWEEN = re.compile(r"(?<=\S) (?=\S)")
"""A single space with something on either side."""
_SPACED = "a b c' d 1 2 12 345 . , -- é 日 本 's t' _ _ = a1 b2 ) ("
_BY_LETTER = ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "BertNormalizer")
"""Normalizers that never look over a space."""


def splits_at_spaces(hf: Any) -> bool:
    """Whether no token of a Hugging Face tokenizer ever reaches over a single space between two
    words, in either direction."""
    backend = getattr(hf, "backend_tokenizer", None)
    if backend is None or backend.pre_tokenizer is None:
        return False
    added = hf.added_tokens_decoder.values()
    if any(t.rstrip or t.single_word or SPACE_BETWEEN.search(str(t)) for t in added):
        return False
    if backend.normalizer is not None and type(backend.normalizer).__name__ not in _BY_LETTER:
        return False
    words = [span for _, span in backend.pre_tokenizer.pre_tokenize_str(_SPACED)]
    starts, inside = {a for a, _ in words}, {at for a, b in words for at in range(a, b)}
    spaces = {match.start() for match in SPACE_BETWEEN.finditer(_SPACED)}
    return spaces <= starts or not spaces & inside
