"""Whether a model's files are still those that were read: one saved anew is a new model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_WEIGHTS = (".safetensors", ".gguf")
_READ = (".json", ".model", ".txt", ".jinja", *_WEIGHTS)
_UNREAD = ("card.json", "README.txt")
_MOST_HASHED = 2**25

File = tuple[str, int, int, int, int]
"""Of a file: its name, size, times of last change of content and of entry, and inode."""


@dataclass(frozen=True)
class Fingerprint:
    """A model's files at one moment. `files`: what the file system says of each; `content`: a hash
    of the small ones whole and of the headers of the weights."""

    place: Path
    files: tuple[File, ...]
    content: str


def fingerprint(place: Path) -> Fingerprint:
    """Look at a model's directory or file as it is now, reading what is small.

    Raises: OSError where it is gone.
    """
    files = tuple(_files(place))
    return Fingerprint(place, files, _content(place, files))


def still(then: Fingerprint) -> Fingerprint | None:
    """What is known of the files, if they hold what they held; None if they do not or are gone.

    Takes some 0.1 ms where nothing was touched. Files touched and not changed are read again,
    weights not: those are taken for new ones.
    """
    try:
        files = tuple(_files(then.place))
        if files == then.files:
            return then
        if _weights(files) != _weights(then.files):
            return None
        now = Fingerprint(then.place, files, _content(then.place, files))
    except OSError:
        return None
    return now if now.content == then.content else None


def _files(place: Path) -> Iterator[File]:
    if place.is_file():
        yield _file(place.name, place.stat())
        return
    with os.scandir(place) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.name.endswith(_READ) and entry.name not in _UNREAD and entry.is_file():
                yield _file(entry.name, entry.stat())


def _file(name: str, state: os.stat_result) -> File:
    return name, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


def _weights(files: tuple[File, ...]) -> list[File]:
    return [file for file in files if file[0].endswith(_WEIGHTS)]


def _content(place: Path, files: tuple[File, ...]) -> str:
    result = hashlib.sha256()
    for name, size, *_ in files:
        path = place if place.is_file() else place / name
        result.update(f"{name}\0{size}\0".encode())
        with path.open("rb") as file:
            most = size if size <= _MOST_HASHED else 0
            if name.endswith(_WEIGHTS):
                head = file.read(8)
                most = int.from_bytes(head, "little") if name.endswith(".safetensors") else 2**16
            result.update(file.read(min(most, _MOST_HASHED)))
    return result.hexdigest()
