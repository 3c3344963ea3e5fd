"""Fields of the link: what else a view is than its experiment, as each page declares its own."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib import import_module

import pages._parts as parts

MOST_WRITTEN = 10_000
"""Characters of a text that is part of the link."""


@dataclass(frozen=True)
class Choice:
    """One of a few values, the first being the default."""

    name: str
    values: tuple[str, ...]

    @property
    def default(self) -> str:
        """What is chosen where the link says nothing."""
        return self.values[0]

    def read(self, text: str | None) -> str:
        """The value that a link means; the default for what is none of the values."""
        return text if text is not None and text in self.values else self.default

    def fits_link(self, value: object) -> bool:
        """Whether a value can be part of the link."""
        return value in self.values

    def wrong(self, text: str) -> str:
        """What is wrong with a link's value, in a sentence; empty where it can be read."""
        if text in self.values:
            return ""
        return (
            f"The link's “{self.name}” is left out: it is one of {', '.join(self.values)}, not "
            f"“{text[:40]}”."
        )


@dataclass(frozen=True)
class Text:
    """A text typed in."""

    name: str
    default: str = ""

    def read(self, text: str | None) -> str:
        """The text that a link means, as far as it may be long."""
        return (self.default if text is None else text)[:MOST_WRITTEN]

    def fits_link(self, value: object) -> bool:
        """Whether a value can be part of the link."""
        return isinstance(value, str) and len(value) <= MOST_WRITTEN

    def wrong(self, text: str) -> str:
        """What is wrong with a link's value, in a sentence; empty where it can be read."""
        if self.fits_link(text):
            return ""
        return (
            f"The link's “{self.name}” is cut: it has {len(text):,} characters, at most "
            f"{MOST_WRITTEN:,}."
        )


Field = Choice | Text


@cache
def declared() -> dict[str, Field]:
    """The fields of all pages by their names: `FIELDS` of the module `fields` in each page's parts.

    Raises: ValueError where two pages mean different things by one name.
    """
    result: dict[str, Field] = {}
    for package in pkgutil.iter_modules(parts.__path__, f"{parts.__name__}."):
        if package.ispkg:
            for field in import_module(f"{package.name}.fields").FIELDS:
                if result.setdefault(field.name, field) != field:
                    raise ValueError(f"{package.name} means another field by “{field.name}”.")
    return result
