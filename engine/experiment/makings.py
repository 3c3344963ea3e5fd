"""How directions are made: of prompts, a head, an unembedding, a feature of an SAE, or a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import ExperimentError
from .parsed import Parsed, field
from .sae import Sae
from .sites import Feature, Head, parse_sites

MOST_PROMPTS = 500
"""Prompts that one direction may be made of."""
WAYS = ("mean", "pca")
READ_AT = ("last", "mean")
LENGTHS = ("own", "unit")


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
        found = one_site(self.head, "The head of a direction")
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
class FromFeature:
    """What a feature of a sparse autoencoder or transcoder writes, its row of W_dec, at that one's
    site. `length`: "own", as it is, so that c times it is what c more of the feature writes (where
    the autoencoder does not normalize what it reads); or "unit", of length 1.

    What it does not show: that the feature means anything, or that the model uses it; and added, it
    is there at tokens at which the feature never is.
    """

    tag: ClassVar[str] = "feature"
    sae: Parsed[Sae, Sae | str] = field()
    feature: Parsed[Feature, Feature | str | int] = field()
    length: str = "own"

    def __post_init__(self) -> None:
        object.__setattr__(self, "sae", Sae.parse(self.sae))
        object.__setattr__(self, "feature", self.sae.one(self.feature))
        _check_choice(self.length, LENGTHS, "A feature's direction has its length as")

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text it is made of."""
        return ()


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


Making = FromPrompts | FromHead | FromUnembedding | FromFeature | FromFile
MAKINGS: dict[str, type[Making]] = {
    kind.tag: kind for kind in (FromPrompts, FromHead, FromUnembedding, FromFeature, FromFile)
}


def one_site(given: Any, what: str) -> Any:
    """The site that is meant. Raises: EngineError for what is not one."""
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
