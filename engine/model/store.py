"""A store bounded by bytes: the least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar, runtime_checkable


@runtime_checkable
class Sized(Protocol):
    """Anything that knows how many bytes it holds."""

    @property
    def nbytes(self) -> int: ...


V = TypeVar("V", bound=Sized)


class Store(Generic[V]):
    """Values by key, at most `most` bytes of them. Used by one thread only, the worker's."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.nbytes = 0
        self._values: OrderedDict[Hashable, V] = OrderedDict()

    def find(self, key: Hashable) -> V | None:
        """The value kept under a key, or None."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def keep(self, key: Hashable, value: V) -> None:
        """Keep a value, dropping the least recently used until all fit; too large is not kept."""
        old = self._values.pop(key, None)
        self.nbytes -= old.nbytes if old is not None else 0
        if value.nbytes > self.most:
            return
        self._values[key] = value
        self.nbytes += value.nbytes
        while self.nbytes > self.most:
            _, dropped = self._values.popitem(last=False)
            self.nbytes -= dropped.nbytes

    def clear(self) -> None:
        """Drop everything."""
        self._values.clear()
        self.nbytes = 0
