"""A store bounded by bytes: the least recently used goes first."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

from cachetools import LRUCache


class Sized(Protocol):
    """Anything that knows how many bytes it holds."""

    @property
    def nbytes(self) -> int: ...


class Store(LRUCache[Hashable, Any]):
    """Values by key, at most so many bytes of them. Used by one thread only, the worker's."""

    def __init__(self, most: int) -> None:
        super().__init__(most, getsizeof=lambda value: value.nbytes)

    def keep(self, key: Hashable, value: Sized) -> None:
        """Keep a value in the place of the least recently used; one that is too large is not."""
        self.pop(key, None)
        if value.nbytes <= self.maxsize:
            self[key] = value
