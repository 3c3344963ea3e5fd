"""Tokenizers by name, without the weights of their models: of a loaded model, or read and kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from ..errors import ModelError
from ..model.checkpoints import find_tokenizer_directory
from ..registry import loaded
from ..text.tokens import Tokenizer

_MOST = 8
"""Tokenizers kept besides those of loaded models; the least recently used goes first."""

_kept: OrderedDict[tuple, Tokenizer] = OrderedDict()
_lock = threading.Lock()


def find_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a loaded model, a bundled name, a directory or a hub name.

    A directory need hold nothing but the tokenizer's own files. No weights are read.
    Raises: ModelError saying what is wrong, and what would do.
    """
    model = loaded(name)
    if model is not None:
        return model.tokenizer
    directory = find_tokenizer_directory(name)
    key = _state_of(directory)
    with _lock:
        if key not in _kept:
            _kept[key] = Tokenizer.load(directory)
        _kept.move_to_end(key)
        while len(_kept) > _MOST:
            _kept.popitem(last=False)
        return _kept[key]


def _state_of(directory: Path) -> tuple:
    """The directory and its tokenizer's files as they are now: one written anew is read anew."""
    try:
        files = sorted(p for p in directory.iterdir() if p.suffix in (".json", ".model", ".txt"))
        return (str(directory), *((p.name, p.stat().st_mtime_ns, p.stat().st_size) for p in files))
    except OSError as wrong:
        raise ModelError(f"“{directory}” cannot be read ({type(wrong).__name__}).") from wrong
