"""How many tokens a tokenizer needs for each number: what is one token, and what is three."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

import numpy as np

from ..errors import TokenError
from ..text.tokens import Tokenizer
from .results import NumberLengths
from .vocabularies import find_tokenizer

_MOST = 9999
_BEFORE = "a"

_kept: WeakKeyDictionary[Tokenizer, dict[tuple[int, bool], NumberLengths]] = WeakKeyDictionary()
_KEPT_EACH = 4
_lock = threading.Lock()


def number_lengths(model: str, most: int = 1000, after_space: bool = False) -> NumberLengths:
    """How many tokens each number from 0 to `most` takes.

    `after_space` counts a number as it stands in running text, after a word and a space, the
    space included. Without, it stands by itself, with whatever the tokenizer puts in front.
    Raises: TokenError for more than 9999 numbers, ModelError for a tokenizer that cannot be read.
    """
    if not 0 <= most <= _MOST:
        raise TokenError(f"Numbers are counted up to {_MOST:,}, not to {most:,}.")
    tokenizer = find_tokenizer(model)
    key = (most, after_space)
    with _lock:
        kept = _kept.setdefault(tokenizer, {})
        if key not in kept:
            if len(kept) >= _KEPT_EACH:
                kept.pop(next(iter(kept)))
            kept[key] = _count(tokenizer, model, most, after_space)
        return kept[key]


def _count(tokenizer: Tokenizer, model: str, most: int, after_space: bool) -> NumberLengths:
    before = _BEFORE if after_space else ""
    cut = len(tokenizer.ids_of([before])[0]) if before else 0
    texts = [f"{before} {n}" if after_space else str(n) for n in range(most + 1)]
    ids = [result[cut:] for result in tokenizer.ids_of(texts)]
    return NumberLengths(
        model=model,
        after_space=after_space,
        lengths=np.array([len(result) for result in ids]),
        pieces=tuple(tokenizer.pieces(result) for result in ids),
    )
