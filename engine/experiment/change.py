"""A change: where something becomes something else, and at which tokens.

Written as what becomes of the sites, the sites, and behind an @ the positions where they are not
all: `zero 9.1 m9`, `resample 5.1.q @3`, `scale(0.5) n5.123 @prompt`, `mean keep 9.1 m2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import EngineError, ExperimentError
from .ablations import Ablations, AsAblations, ablations
from .method import AsMethod, Method
from .parsed import Parsed, field
from .positions import AsPositions, Positions

MOST_CHANGES = 50
MOST_NAMED = 100_000
"""Sites and positions that the changes of an experiment may name together."""
_WRITTEN = re.compile(r"\s*([a-z_]+(?:\s*\([^()@]*\))?)(?:\s+([^@]*))?(?:@(.*))?", re.DOTALL)
_AS_IN = "as in “zero 9.1 m9”, “scale(0.5) 5.1.q @3” or “mean keep 9.1”"


@dataclass(frozen=True)
class Change:
    """Sites whose activations become something else, at these positions.

    Raises: ExperimentError or SiteError for a part that cannot be read.
    """

    sites: Parsed[Ablations, AsAblations] = field()
    becomes: Parsed[Method, AsMethod] = field(default_factory=Method)
    positions: Parsed[Positions, AsPositions] = field(default_factory=Positions)

    def __post_init__(self) -> None:
        for name, parse in (
            ("sites", ablations),
            ("becomes", Method.parse),
            ("positions", Positions.parse),
        ):
            object.__setattr__(self, name, parse(getattr(self, name)))
        if not self.sites:
            raise ExperimentError(f"A change names sites behind its method, {_AS_IN}.")

    def __str__(self) -> str:
        where = "" if self.positions.which == "all" else f" @{self.positions}"
        return f"{self.becomes} {self.sites}{where}"

    @staticmethod
    def parse(text: Any) -> Change:
        """Read a change such as `"zero 9.1 m9"`, `"resample 5.1.q @3"`, `"mean keep 9.1 m2"`.

        Raises: ExperimentError or SiteError naming the change, and the part that cannot be read.
        """
        if isinstance(text, Change):
            return text
        if not isinstance(text, str):
            raise ExperimentError(f"{text!r:.60} is no change: write one {_AS_IN}.")
        parts = _WRITTEN.fullmatch(text)
        if parts is None:
            raise ExperimentError(
                f"“{text.strip()[:60]}” is no change: begin with what becomes of the sites, "
                f"{_AS_IN}."
            )
        method, sites, positions = parts.groups()
        try:
            return Change(
                becomes=Method.parse(method),
                sites=ablations(sites or ""),
                positions=Positions.parse("all" if positions is None else positions),
            )
        except EngineError as wrong:
            raise type(wrong)(f"In the change “{text.strip()[:60]}”: {wrong}") from wrong


AsChanges = Change | str | Iterable[Change | str] | None
"""What `changes` reads."""


def changes(given: Any = ()) -> tuple[Change, ...]:
    """Read changes from text, one a line, or from a change, or a list of either.

    Returns: the changes in the order written.
    Raises: ExperimentError or SiteError naming the change that cannot be read, or for too many.
    """
    result: list[Change] = []
    named = 0
    for one in _each(given):
        result.append(Change.parse(one))
        named += len(result[-1].sites.sites) + len(result[-1].positions.indices)
        if len(result) > MOST_CHANGES:
            raise ExperimentError(f"More than {MOST_CHANGES} changes are given; put some together.")
        if named > MOST_NAMED:
            raise ExperimentError(
                f"The changes name more than {MOST_NAMED:,} sites and positions together; name "
                "whole layers (a9)."
            )
    return tuple(result)


def _each(given: Any) -> Iterator[Any]:
    """Changes, and what is to be read as some."""
    match given:
        case None:
            return
        case Change():
            yield given
        case str():
            yield from (line for line in given.splitlines() if line.strip())
        case Iterable() if not isinstance(given, Mapping | bytes):
            for one in given:
                yield from _each(one) if isinstance(one, str) else (one,)
        case _:
            raise ExperimentError(f"{given!r:.60} is no list of changes: write each {_AS_IN}.")
