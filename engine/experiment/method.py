"""What an ablated activation becomes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..errors import ExperimentError

MOST_NUMBER = 1e6
"""How far `scale(c)` and `set(v)` may go from 0; beyond, models only overflow."""


class Kind(Enum):
    """What an ablated activation becomes. Each member carries its own definition.

    `takes`: what it is told or given: nothing, a "number", the "references" or the "corrupted"
    prompt. `by_position`: whether it has values for the prompt's own tokens only, each for its
    position.
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
    SCALE = ("scale", "it is multiplied by a number, as in scale(0.5)", "number")
    SET = ("set", "it is forced to a number, as in set(3)", "number")

    def __init__(
        self, word: str, definition: str, takes: str = "", by_position: bool = False
    ) -> None:
        self.word = word
        self.definition = definition
        self.takes = takes
        self.by_position = by_position


@dataclass(frozen=True)
class Method:
    """A kind of ablation, with its number for `scale(c)` and `set(v)`."""

    kind: Kind = Kind.ZERO
    number: float | None = None

    def __post_init__(self) -> None:
        if (self.kind.takes == "number") != (self.number is not None):
            raise ExperimentError(
                f"The method {self.kind.word} "
                + (
                    f"needs a number, as in {self.kind.word}(0.5)."
                    if self.number is None
                    else "takes no number."
                )
            )
        if self.number is not None and not abs(self.number) <= MOST_NUMBER:
            raise ExperimentError(
                f"{self.kind.word}({self.number}): the number must be finite, and from "
                f"−{MOST_NUMBER:,.0f} to {MOST_NUMBER:,.0f}."
            )

    def __str__(self) -> str:
        if self.number is None:
            return self.kind.word
        return f"{self.kind.word}({self.number!r})"

    @staticmethod
    def parse(text: Any) -> Method:
        """Read `"zero"`, `"mean"`, `"mean_by_position"`, `"resample"`, `"scale(0.5)"`, `"set(3)"`.

        Raises: ExperimentError naming the methods there are.
        """
        if isinstance(text, Method):
            return text
        if isinstance(text, Kind):
            return Method(text)
        if not isinstance(text, str):
            raise ExperimentError(f"{text!r:.60} is no method: write one as in “zero”.")
        match = re.fullmatch(r"\s*([a-z_]+)\s*(?:\(\s*([^()]{1,40})\s*\))?\s*", text)
        kinds = {kind.word: kind for kind in Kind}
        if match is None or match[1] not in kinds:
            raise ExperimentError(
                f"“{text[:40]}” is not a method. There are zero, mean, mean_by_position, resample, "
                "scale(c) and set(v)."
            )
        try:
            number = None if match[2] is None else float(match[2])
        except ValueError:
            raise ExperimentError(f"“{match[2]}” in “{text[:60]}” is not a number.") from None
        return Method(kinds[match[1]], number)


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
