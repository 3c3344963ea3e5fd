"""How a run of terms is written: with spaces, commas, line breaks or words between them.

A style says what stands behind every term that is shown, and what the next one begins with: with
commas, `1, 2, 3, 4,` is followed by ` 5`. So the prompt ends in all that parts its last term from
the answer but what belongs to the answer, as a leading space does in most vocabularies.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import EngineError


@dataclass(frozen=True)
class Style:
    """`behind`: what stands behind each term shown, the last included. `lead`: what each term but
    the first begins with, and so answer and distractor."""

    behind: str
    lead: str

    @property
    def between(self) -> str:
        """What parts two terms."""
        return self.behind + self.lead

    def prompt(self, terms: Iterable[str]) -> str:
        """A run of terms as a prompt."""
        return self.between.join(terms) + self.behind

    def following(self, term: str) -> str:
        """A term as it is written behind a prompt."""
        return self.lead + term


SPACES = "spaces"
STYLES: dict[str, Style] = {
    SPACES: Style("", " "),
    "commas": Style(",", " "),
    "lines": Style("\n", ""),
    "then": Style(" then", " "),
}
"""The styles in which a run of terms can be written, by name; the first is the default."""


def check_style(style: object) -> None:
    """Raises: EngineError for a style there is not."""
    if not isinstance(style, str) or style not in STYLES:
        raise EngineError(f"There is no style “{style!s:.40}”; there are {', '.join(STYLES)}.")


def task_name(family: str, style: str) -> str:
    """A family in a style, as tasks are called: "numerals, commas"."""
    return family if style == SPACES else f"{family}, {style}"
