"""A direction: a named vector of a model's residual stream, known by how it is made.

What stands in a link is the making and not the numbers, so the same direction is made anew
wherever the link is opened, on whatever model. Written as a JSON object:

    {"name": "ordinals", "site": "r5", "prompts": {"plus": ["first"], "minus": ["1"]}}
    {"name": "three", "site": "r6", "head": {"head": "5.1", "token": " 3"}}
    {"name": "up", "site": "r5", "unembedding": {"token": " 5", "minus": " 4"}}
    {"name": "sixes", "site": "r3", "feature": {"sae": "seq-gpt2-r3@r3", "feature": "f3.292"}}
    {"name": "mine", "site": "r5", "file": {"digest": "9f86…", "model": "seq-gpt2"}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from ..errors import EngineError, ExperimentError
from .makings import MAKINGS, FromFeature, Making, one_site
from .method import NAME
from .parsed import Parsed, field
from .sites import MLP, AsSites, Stream

MOST_VECTORS = 50


@dataclass(frozen=True)
class Direction:
    """A named vector [d_model] that `add(name, c)` and `project(name)` use.

    `name`: letters, digits, _ and -. `site`: where it is read, a place of the residual stream (r5,
    r5.mid) or what an MLP writes into it (m5); it may be used at others. Of a feature it is its
    SAE's, and may be left empty. `made`: how.
    Raises: ExperimentError or SiteError for a field that cannot be used.
    """

    name: str
    site: Parsed[Stream | MLP, AsSites] = field()
    made: Making = field()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(NAME, self.name):
            raise ExperimentError(
                f"{self.name!r:.60} names no direction: a name has 1 to 40 letters, digits, _ or -."
            )
        if not isinstance(self.made, Making):
            raise ExperimentError(
                f"The direction “{self.name}” is made of {', '.join(MAKINGS)}, not of "
                f"{self.made!r:.40}."
            )
        of_sae = self.made.sae.site if isinstance(self.made, FromFeature) else None
        given = self.site if of_sae is None or self.site else of_sae
        site = one_site(given, f"The site of “{self.name}”")
        if not isinstance(site, Stream | MLP):
            raise ExperimentError(
                f"The direction “{self.name}” is of {site}, and a direction lies in the residual "
                "stream: name a place of it (r5, r5.mid) or an MLP that writes into it (m5)."
            )
        if of_sae is not None and site != of_sae:
            raise ExperimentError(
                f"The direction “{self.name}” is of a feature at {of_sae}, which is its site, "
                f"and not {site}; it may be used at others."
            )
        object.__setattr__(self, "site", site)

    def __str__(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=True, separators=(",", ":"))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, what is as by default left out."""
        making = {
            f.name: list(value) if isinstance(value, tuple) else str(value)
            for f in fields(self.made)
            if (value := getattr(self.made, f.name)) != f.default or f.default is MISSING
        }
        return {"name": self.name, "site": str(self.site), self.made.tag: making}

    @staticmethod
    def from_dict(plain: Any) -> Direction:
        """The inverse of `to_dict`. Raises: ExperimentError for what is no direction."""
        if not isinstance(plain, Mapping):
            raise ExperimentError(f"A direction is an object with its fields, not {plain!r:.60}.")
        rest = {name: value for name, value in plain.items() if name not in ("name", "site")}
        if len(rest) != 1 or not set(rest) <= set(MAKINGS):
            raise ExperimentError(
                f"A direction has a name, a site and one of {', '.join(MAKINGS)}, not "
                f"{', '.join(map(str, rest))!r:.60}."
            )
        ((tag, made),) = rest.items()
        kind = MAKINGS[tag]
        known = [f.name for f in fields(kind)]
        needed = [f.name for f in fields(kind) if f.default is MISSING]
        if not isinstance(made, Mapping) or not set(needed) <= set(made) <= set(known):
            raise ExperimentError(f"A direction of {tag} has {', '.join(known)}, not {made!s:.60}.")
        return Direction(plain.get("name", ""), plain.get("site", ""), kind(**made))

    @staticmethod
    def parse(given: Any) -> Direction:
        """Read a direction from its JSON text, or from an object of its fields.

        Raises: ExperimentError or SiteError for what is none.
        """
        if isinstance(given, Direction):
            return given
        if isinstance(given, str):
            try:
                given = json.loads(given)
            except (ValueError, RecursionError) as wrong:
                raise ExperimentError(f"A direction is written as JSON: {wrong!s:.100}.") from wrong
        return Direction.from_dict(given)


AsDirections = Direction | str | Mapping[str, Any] | Iterable[Direction | str | Mapping[str, Any]]
"""What `directions` reads."""


def directions(given: Any = ()) -> tuple[Direction, ...]:
    """Read directions: a direction, its JSON or its fields, or a list of such.

    Raises: ExperimentError or SiteError for one that cannot be read, for two of one name, for too
    many.
    """
    result: dict[str, Direction] = {}
    for i, one in enumerate(_each(given)):
        if i == MOST_VECTORS:
            raise ExperimentError(f"More than {MOST_VECTORS} directions are given.")
        try:
            read = Direction.parse(one)
        except EngineError as wrong:
            raise type(wrong)(f"In direction {i + 1}: {wrong}") from wrong
        if read.name in result:
            raise ExperimentError(f"Two directions are called “{read.name}”; a name is of one.")
        result[read.name] = read
    return tuple(result.values())


def _each(given: Any) -> Iterator[Any]:
    match given:
        case None:
            return
        case Direction() | str() | Mapping():
            yield given
        case Iterable() if not isinstance(given, bytes):
            yield from given
        case _:
            raise ExperimentError(f"{given!r:.60} is no list of directions.")
