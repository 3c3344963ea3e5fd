"""What an ablated activation becomes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..errors import ExperimentError

MOST_NUMBER = 1e6
"""How far `scale(c)`, `set(v)` and the c of `add` may go from 0; beyond, models only overflow."""
NAME = r"[A-Za-z0-9_-]{1,40}"
"""What a direction may be called."""


class Kind(Enum):
    """What an ablated activation becomes. Each member carries its own definition.

    `takes`: what it is told or given: nothing, a "number", the "references" or the "corrupted"
    prompt, or a "vector", one of the experiment's directions. `by_position`: whether it has values
    for the prompt's own tokens only, each for its position. `numbered`: whether it has a number.
    """

    ZERO = ("zero", "the activation becomes 0")
    MEAN = (
        "mean",
        "it becomes its average over every token of the reference prompts, whatever their length",
        "references",
    )
    MEAN_BY_POSITION = (
        "mean_by_position",
        "it becomes its average over the reference prompts at the same position; every reference "
        "prompt must have as many tokens as the prompt",
        "references",
        True,
    )
    RESAMPLE = (
        "resample",
        "it becomes its value in the corrupted prompt's run at the same position; the corrupted "
        "prompt must have as many tokens as the prompt",
        "corrupted",
        True,
    )
    SCALE = ("scale", "it is multiplied by a number, as in scale(0.5)", "number", False, True)
    SET = ("set", "it is forced to a number, as in set(3)", "number", False, True)
    ADD = (
        "add",
        "a direction times a number is added to it, x + c·v, as in add(ordinals, 4)",
        "vector",
        False,
        True,
    )
    PROJECT = (
        "project",
        "its component along a direction is removed, x − (x·v̂)v̂, as in project(ordinals)",
        "vector",
    )

    def __init__(
        self,
        word: str,
        definition: str,
        takes: str = "",
        by_position: bool = False,
        numbered: bool = False,
    ) -> None:
        self.word = word
        self.definition = definition
        self.takes = takes
        self.by_position = by_position
        self.numbered = numbered

    @property
    def example(self) -> str:
        """How it is written."""
        vector = "ordinals" * (self.takes == "vector")
        number = ("4" if vector else "0.5") * self.numbered
        inside = ", ".join(filter(None, (vector, number)))
        return f"{self.word}({inside})" if inside else self.word


@dataclass(frozen=True)
class Method:
    """A kind of ablation, with its number for `scale(c)`, `set(v)` and `add(vector, c)`, and the
    name of its direction for `add` and `project`."""

    kind: Kind = Kind.ZERO
    number: float | None = None
    vector: str | None = None

    def __post_init__(self) -> None:
        word, as_in = self.kind.word, f"as in {self.kind.example}."
        if self.kind.numbered != (self.number is not None):
            needs = f"needs a number, {as_in}" if self.number is None else "takes no number."
            raise ExperimentError(f"The method {word} {needs}")
        if (self.kind.takes == "vector") != (self.vector is not None):
            needs = f"names a direction, {as_in}" if self.vector is None else "takes no direction."
            raise ExperimentError(f"The method {word} {needs}")
        if self.vector is not None and not re.fullmatch(NAME, self.vector):
            raise ExperimentError(f"“{self.vector!s:.40}” in {word} is no name of a direction.")
        if self.number is not None and not abs(self.number) <= MOST_NUMBER:
            raise ExperimentError(
                f"{self}: the number must be finite, and from −{MOST_NUMBER:,.0f} to "
                f"{MOST_NUMBER:,.0f}."
            )

    def __str__(self) -> str:
        number = None if self.number is None else repr(self.number)
        inside = ", ".join(filter(None, (self.vector, number)))
        return f"{self.kind.word}({inside})" if inside else self.kind.word

    @staticmethod
    def parse(text: Any) -> Method:
        """Read `"zero"`, `"mean"`, `"mean_by_position"`, `"resample"`, `"scale(0.5)"`, `"set(3)"`,
        `"add(ordinals, 4)"`, `"project(ordinals)"`.

        Raises: ExperimentError naming the methods there are.
        """
        return _parsed(text, "scale(c), set(v), add(direction, c) and project(direction)")


def _parsed(text: Any, last: str) -> Method:
    """The method a text names; `last`: the last of those there are, as told of a text that names
    none."""
    if isinstance(text, Method):
        return text
    if isinstance(text, Kind):
        return Method(text)
    if not isinstance(text, str):
        raise ExperimentError(f"{text!r:.60} is no method: write one as in “zero”.")
    match = re.fullmatch(r"\s*([a-z_]+)\s*(?:\(\s*([^()]{1,90}?)\s*\))?\s*", text)
    kinds = {kind.word: kind for kind in Kind}
    if match is None or match[1] not in kinds:
        raise ExperimentError(
            f"“{text[:40]}” is not a method. There are zero, mean, mean_by_position, resample, "
            f"{last}."
        )
    kind, inside = kinds[match[1]], match[2]
    if kind.takes != "vector":
        return Method(kind, None if inside is None else _number(inside, text))
    name, comma, number = (inside or "").partition(",")
    return Method(kind, _number(number, text) if comma else None, name.strip() or None)


def _number(word: str, text: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ExperimentError(f"“{word.strip()}” in “{text[:60]}” is not a number.") from None


def parse_ablation(text: Any) -> Method:
    """Read a method for whatever sites are switched off, which `add` and `project` are not.

    Raises: as `Method.parse` does; ExperimentError for a method that takes a direction.
    """
    method = _parsed(text, "scale(c) and set(v)")
    if method.kind.takes == "vector":
        raise ExperimentError(
            f"{method} uses a direction, so it is written among the changes, with the place in the "
            f"stream: “{method} r5”."
        )
    return method


AsMethod = Method | Kind | str
"""What `Method.parse` reads."""


def prompt_only(methods: Iterable[Method], later: str) -> list[str]:
    """What to tell of methods with values for the prompt only, where there are `later` tokens
    too: a sentence each."""
    return [
        f"{method} has values for the prompt's tokens only; it leaves those {later} as they are."
        for method in dict.fromkeys(methods)
        if method.kind.by_position
    ]
