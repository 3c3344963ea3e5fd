"""Sets of prompts that are alike in one thing, such as their language; English and Spanish ship."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import EngineError

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "prompt_sets"
MOST_PROMPTS = 2_000
SHIPPED = ("english", "spanish")
"""The sets that ship, of 40 short sentences each, the same in both languages."""


@dataclass(frozen=True)
class PromptSet:
    """Prompts under a name. Raises: EngineError for one without a name or with too few prompts."""

    name: str
    prompts: tuple[str, ...]

    def __post_init__(self) -> None:
        prompts = self.prompts.split("\n") if isinstance(self.prompts, str) else self.prompts
        if not isinstance(self.name, str) or not self.name.strip():
            raise EngineError("A set of prompts has a name.")
        if not isinstance(prompts, Iterable):
            raise EngineError(f"The prompts of “{self.name[:40]}” are texts, not {prompts!r:.60}.")
        given = tuple(prompts)
        if not all(isinstance(one, str) for one in given):
            raise EngineError(f"The prompts of “{self.name[:40]}” are texts.")
        result = tuple(one for one in given if one.strip())
        if not 2 <= len(result) <= MOST_PROMPTS:
            raise EngineError(
                f"The set “{self.name[:40]}” has {len(result):,} prompts; it needs 2 to "
                f"{MOST_PROMPTS:,}: half of them to find neurons by, half to measure on."
            )
        object.__setattr__(self, "prompts", result)

    @property
    def found_on(self) -> tuple[str, ...]:
        """The prompts that neurons are found by: the first, the third …"""
        return self.prompts[::2]

    @property
    def measured_on(self) -> tuple[str, ...]:
        """The others, on which what they do is measured."""
        return self.prompts[1::2]

    def to_python(self) -> str:
        """The Python that makes it."""
        if self.name in SHIPPED and self == prompt_set(self.name):
            return f"engine.prompt_set({self.name!r})"
        return f"engine.PromptSet({self.name!r}, {self.prompts!r})"


@cache
def prompt_set(name: str) -> PromptSet:
    """A set that ships: “english” or “spanish”. Raises: EngineError for another name."""
    if name not in SHIPPED:
        raise EngineError(f"There are the sets {', '.join(SHIPPED)}, not “{name!s:.40}”.")
    return PromptSet(name, tuple((FOLDER / f"{name}.txt").read_text("utf-8").splitlines()))


def as_sets(given: Any) -> tuple[PromptSet, ...]:
    """Sets as notebooks hand them in: each a PromptSet, the name of one that ships, or a name with
    its prompts. Raises: EngineError for what is none, fewer than two, or a name twice."""
    if isinstance(given, dict):
        given = given.items()
    if isinstance(given, str | PromptSet) or not isinstance(given, Iterable):
        raise EngineError("Give two sets of prompts or more, to be told from each other.")
    result = []
    for one in given:
        match one:
            case PromptSet():
                result.append(one)
            case str():
                result.append(prompt_set(one))
            case (str() as name, prompts):
                result.append(PromptSet(name, prompts))
            case _:
                raise EngineError(f"{one!r:.60} is no set of prompts.")
    names = [one.name for one in result]
    if len(result) < 2:
        raise EngineError("Give two sets of prompts or more, to be told from each other.")
    if len({*names}) < len(names):
        raise EngineError(f"Two sets have one name: {', '.join(names)}.")
    return tuple(result)
