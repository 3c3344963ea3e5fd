"""A direction: a named vector of a model's residual stream, known by how it is made.

What stands in a link is the making and not the numbers, so the same direction is made anew
wherever the link is opened, on whatever model. Written as a JSON object:

    {"name": "ordinals", "site": "r5", "prompts": {"plus": ["first"], "minus": ["1"]}}
    {"name": "three", "site": "r6", "head": {"head": "5.1", "token": " 3"}}
    {"name": "up", "site": "r5", "unembedding": {"token": " 5", "minus": " 4"}}
    {"name": "mine", "site": "r5", "file": {"digest": "9f86…", "model": "seq-gpt2"}}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

from ..errors import EngineError, ExperimentError
from .method import NAME
from .parsed import Parsed, field
from .sites import MLP, AsSites, Head, Stream, parse_sites

MOST_VECTORS = 50
MOST_PROMPTS = 500
"""Prompts that one direction may be made of."""
WAYS = ("mean", "pca")
READ_AT = ("last", "mean")


@dataclass(frozen=True)
class FromPrompts:
    """Made of what passes at a site in prompts, `plus` less `minus`.

    `by`: "mean", the mean over `plus` less that over `minus` (of one prompt each: activation
    addition, Turner et al. 2023); "pca", the first principal component of the differences pair by
    pair, as in Zou et al. 2023, about 0 and not about their mean, which is what the pairs share.
    It is scaled to the mean difference's projection on it, so that `plus` lies higher and both
    ways are of one unit. `read`: at the "last" token, or as the "mean" over all tokens but a BOS.
    What it does not show: whether the model uses it; any two sets of prompts differ by something.
    """

    tag: ClassVar[str] = "prompts"
    plus: Parsed[tuple[str, ...], Iterable[str]] = field()
    minus: Parsed[tuple[str, ...], Iterable[str]] = field()
    by: str = "mean"
    read: str = "last"

    def __post_init__(self) -> None:
        for side in ("plus", "minus"):
            given: Any = getattr(self, side)
            if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
                raise ExperimentError(f"`{side}` is a list of prompts, not {given!r:.60}.")
            texts = tuple(given)
            if not 0 < len(texts) <= MOST_PROMPTS:
                raise ExperimentError(
                    f"`{side}` has {len(texts):,} prompts; a direction is made of 1 to "
                    f"{MOST_PROMPTS:,} on each side."
                )
            for text in texts:
                _check_text(text, "A prompt that a direction is made of", empty=True)
            object.__setattr__(self, side, texts)
        _check_choice(self.by, WAYS, "A direction is made by")
        _check_choice(self.read, READ_AT, "Prompts are read at")
        if self.by == "pca" and len(self.plus) != len(self.minus):
            raise ExperimentError(
                f"By pca prompts are compared pair by pair, and there are {len(self.plus)} of "
                f"`plus` and {len(self.minus)} of `minus`: give as many, or take by “mean”."
            )

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text it is made of."""
        return (*self.plus, *self.minus)


@dataclass(frozen=True)
class FromHead:
    """What a head writes into the stream where it looks at one token alone: the token's stream as
    it leaves layer 0 (of a head of layer 0: as it enters), behind nothing but the BOS, through the
    norm of the head's layer, W_V, b_V and W_O, as in the copy score of Wang et al. 2022.

    What it does not show: that the head ever looks there, or what the stream holds by then.
    """

    tag: ClassVar[str] = "head"
    head: Parsed[Head, Head | str] = field()
    token: str = ""

    def __post_init__(self) -> None:
        found = _one_site(self.head, "The head of a direction")
        if not isinstance(found, Head):
            raise ExperimentError(f"A direction of a head names one, as in 5.1, not {found}.")
        object.__setattr__(self, "head", found)
        _check_text(self.token, "The token a head looks at")

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text it is made of."""
        return (self.token,)


@dataclass(frozen=True)
class FromUnembedding:
    """The direction by which a token's logit is read: its column of W_U, less that of `minus` where
    one is named. The final norm is left out, its weights and its scale: along this vector the
    logit rises by as much as the norm lets through.
    """

    tag: ClassVar[str] = "unembedding"
    token: str = ""
    minus: str = ""

    def __post_init__(self) -> None:
        _check_text(self.token, "The token of a direction")
        _check_text(self.minus, "The token taken off", empty=True)

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text it is made of."""
        return (self.token, self.minus)


@dataclass(frozen=True)
class FromFile:
    """Numbers of a file, known by the SHA-256 of them: little-endian float32, one after the other.

    They lie where they were opened; a link that names them says so anywhere else. `model`: on which
    model they were made, where the file told; of another one they mean nothing, and are refused.
    """

    tag: ClassVar[str] = "file"
    digest: str = ""
    model: str = ""

    def __post_init__(self) -> None:
        _check_text(self.digest, "The digest of a direction's file")
        if not re.fullmatch(r"[0-9a-f]{64}", self.digest):
            raise ExperimentError(
                f"“{self.digest[:20]}” is no SHA-256 digest: 64 digits and letters from a to f."
            )
        _check_text(self.model, "The model a file is of", empty=True)

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text it is made of."""
        return (self.model,)


Making = FromPrompts | FromHead | FromUnembedding | FromFile
_MAKINGS: dict[str, type[Making]] = {
    kind.tag: kind for kind in (FromPrompts, FromHead, FromUnembedding, FromFile)
}


@dataclass(frozen=True)
class Direction:
    """A named vector [d_model] that `add(name, c)` and `project(name)` use.

    `name`: letters, digits, _ and -. `site`: where it is read, a place of the residual stream (r5,
    r5.mid) or what an MLP writes into it (m5); it may be used at others. `made`: how.
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
        site = _one_site(self.site, f"The site of “{self.name}”")
        if not isinstance(site, Stream | MLP):
            raise ExperimentError(
                f"The direction “{self.name}” is of {site}, and a direction lies in the residual "
                "stream: name a place of it (r5, r5.mid) or an MLP that writes into it (m5)."
            )
        object.__setattr__(self, "site", site)
        if not isinstance(self.made, Making):
            raise ExperimentError(
                f"The direction “{self.name}” is made of {', '.join(_MAKINGS)}, not of "
                f"{self.made!r:.40}."
            )

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
        if len(rest) != 1 or not set(rest) <= set(_MAKINGS):
            raise ExperimentError(
                f"A direction has a name, a site and one of {', '.join(_MAKINGS)}, not "
                f"{', '.join(map(str, rest))!r:.60}."
            )
        ((tag, made),) = rest.items()
        kind = _MAKINGS[tag]
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


def _one_site(given: Any, what: str) -> Any:
    found = parse_sites(given)
    if len(found) != 1:
        raise ExperimentError(f"{what} is one site, not {len(found)}.")
    return found[0]


def _check_text(given: Any, what: str, empty: bool = False) -> None:
    if not isinstance(given, str) or not (given or empty):
        raise ExperimentError(f"{what} is a text, not {given!r:.60}.")


def _check_choice(given: Any, known: tuple[str, ...], what: str) -> None:
    if given not in known:
        raise ExperimentError(f"{what} {' or '.join(known)}, not {given!r:.40}.")
