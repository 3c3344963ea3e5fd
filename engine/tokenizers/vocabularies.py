"""Tokenizers by name, without the weights of their models: of a loaded model, or read and kept."""

from __future__ import annotations

import threading
from pathlib import Path

from cachetools import LRUCache

from ..errors import ModelError
from ..model.checkpoints import find_tokenizer_directory
from ..model.reading import read_tokenizer
from ..registry import loaded
from ..text.tokens import Tokenizer

_MOST = 8
"""Tokenizers kept besides those of loaded models; the least recently used goes first."""

_kept: LRUCache[tuple, Tokenizer] = LRUCache(_MOST)
_lock = threading.Lock()


def find_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a loaded model, a bundled name, a directory, a GGUF file or a hub name.

    A directory need hold nothing but the tokenizer's own files. No weights are read.
    Raises: ModelError saying what is wrong, and what would do.
    """
    model = loaded(name)
    if model is not None:
        return model.tokenizer
    place = find_tokenizer_directory(name)
    key = _state_of(place)
    with _lock:
        tokenizer = _kept.get(key)
        if tokenizer is None:
            tokenizer = _kept[key] = read_tokenizer(place)
        return tokenizer


def _state_of(place: Path) -> tuple:
    """The tokenizer's files as they are now, one of GGUF or a directory's: one written anew is read
    anew."""
    try:
        suffixes = (".json", ".model", ".txt")
        files = [place] if place.is_file() else sorted(place.iterdir())
        files = [p for p in files if p == place or p.suffix in suffixes]
        return (str(place), *((p.name, p.stat().st_mtime_ns, p.stat().st_size) for p in files))
    except OSError as wrong:
        raise ModelError(f"“{place}” cannot be read ({type(wrong).__name__}).") from wrong
