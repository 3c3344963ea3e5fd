"""Fields of frozen values that are given in words, and kept as what the words say.

`sites: Parsed[Kept, Given] = field()` reads as Kept, where the constructor takes Given and parses
it in `__post_init__`. Only type checkers see it: at run time such a field is like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

__all__ = ["Parsed", "field"]

if TYPE_CHECKING:
    Kept = TypeVar("Kept", covariant=True)
    Given = TypeVar("Given", contravariant=True)

    class Parsed(Generic[Kept, Given]):
        """A descriptor: what it is set to may be of another type than what it gives."""

        def __get__(self, whose: object, kind: type | None = None, /) -> Kept: ...
        def __set__(self, whose: object, given: Given, /) -> None: ...

    def field(*, default: object = ..., default_factory: object = ...) -> Any:
        """`dataclasses.field`, whose default is of the kept type. A required field is written
        `field()`, as are those required after it: checkers know descriptors by their value."""

else:
    from dataclasses import field

    Parsed = Annotated
