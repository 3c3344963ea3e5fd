"""At which tokens an ablation acts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ExperimentError
from .numbers import whole_number

_MOST_POSITIONS = 100_000


@dataclass(frozen=True)
class Positions:
    """At which tokens an ablation acts, counted over the tokens the model sees, BOS included.

    `which` is "all", "prompt" (only the prompt's tokens), "generated" (only what comes after
    them), or "indices", when `indices` holds them; a negative index counts from the prompt's end.
    """

    which: str = "all"
    indices: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.which not in ("all", "prompt", "generated", "indices"):
            raise ExperimentError(f"“{self.which}” names no positions: see Positions.parse.")
        if (self.which == "indices") != bool(self.indices):
            raise ExperimentError("Positions are indices, or one of all, prompt, generated.")

    def __str__(self) -> str:
        if self.which != "indices":
            return self.which
        spans: list[list[int]] = []
        for i in self.indices:
            if spans and i >= 0 and i == spans[-1][1] + 1 and spans[-1][0] >= 0:
                spans[-1][1] = i
            else:
                spans.append([i, i])
        return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)

    @staticmethod
    def parse(text: Any) -> Positions:
        """Read `"all"`, `"prompt"`, `"generated"`, indices and ranges such as `"0-3,5,-1"`, or
        indices as numbers: one, or a list of them.

        Raises: ExperimentError with the forms there are.
        """
        if isinstance(text, Positions):
            return text
        if text is None:
            return Positions()
        if not isinstance(text, str):
            several = isinstance(text, Iterable) and not isinstance(text, Mapping)
            numbers = [whole_number(i, "A position") for i in (text if several else [text])]
            text = ",".join(map(str, numbers))
        word = text.strip().lower()
        if word in ("all", "prompt", "generated"):
            return Positions(word)
        indices: set[int] = set()
        named = 0
        for part in re.split(r"[\s,;]+", word):
            match = re.fullmatch(r"(-?\d{1,6})|(\d{1,6})-(\d{1,6})", part)
            if match is None or (match[2] and int(match[3]) - int(match[2]) not in range(100_000)):
                raise ExperimentError(
                    f"“{text[:40]}” names no positions. Write all, prompt, generated, or indices "
                    "and ranges such as 0-3,5,-1 (-1 is the prompt's last token)."
                )
            span = (match[1], match[1]) if match[1] else (match[2], match[3])
            named += int(span[1]) + 1 - int(span[0])
            if named > _MOST_POSITIONS:
                raise ExperimentError(f"More than {_MOST_POSITIONS:,} positions are named.")
            indices.update(range(int(span[0]), int(span[1]) + 1))
        return Positions("indices", tuple(sorted(indices)))

    def at(self, n_prompt: int, stop: int, first: int = 0) -> tuple[int, ...]:
        """The positions meant from `first` to before `stop`, in a text that begins with a prompt of
        `n_prompt` tokens.

        Raises: ExperimentError for an index past the prompt's end, naming both.
        """
        match self.which:
            case "all":
                return tuple(range(first, stop))
            case "prompt":
                return tuple(range(first, min(n_prompt, stop)))
            case "generated":
                return tuple(range(max(n_prompt, first), stop))
        bad = [i for i in self.indices if not -n_prompt <= i < n_prompt]
        if bad:
            raise ExperimentError(
                f"Position {bad[0]} is not in the prompt: it has {n_prompt} tokens, positions 0 to "
                f"{n_prompt - 1}."
            )
        return tuple(i for i in sorted({i % n_prompt for i in self.indices}) if first <= i < stop)


AsPositions = Positions | str | int | Iterable[int] | None
"""What `Positions.parse` reads."""
