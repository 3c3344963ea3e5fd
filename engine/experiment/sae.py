"""A sparse autoencoder named in an experiment, known by what it holds and not by where it lies.

Written NAME@SITE, of one that ships, or NAME@SITE:DIGEST, of one that was read from a folder or
trained here: `seq-gpt2-r3@r3`, `mine@m5:9f86…`. Its features are the sites `f3.0`, `f3.1` …, by the
layer of its site, so that an experiment has one of a layer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import EngineError, ExperimentError, SiteError
from .method import NAME
from .parsed import Parsed, field
from .sites import MLP, AsSites, Feature, Stream, parse_sites

MOST_SAES = 20
_WRITTEN = re.compile(r"\s*([^@:\s]+)@([^@:\s]+)(?::([^@:\s]*))?\s*")
_AS_IN = "as in “seq-gpt2-r3@r3”"


@dataclass(frozen=True)
class Sae:
    """A sparse autoencoder, or a transcoder, by name.

    `name`: letters, digits, _ and -. `site`: what it writes anew: a place of the residual stream
    (r5, r5.mid) or what an MLP writes into it (m5). `digest`: the SHA-256 of what it holds; empty
    of one that ships under its name.
    Raises: ExperimentError or SiteError for a field that cannot be used.
    """

    name: str
    site: Parsed[Stream | MLP, AsSites] = field()
    digest: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(NAME, self.name):
            raise ExperimentError(
                f"{self.name!r:.60} names no SAE: a name has 1 to 40 letters, digits, _ or -."
            )
        sites = parse_sites(self.site)
        if len(sites) != 1 or not isinstance(sites[0], Stream | MLP):
            raise ExperimentError(
                f"The SAE “{self.name}” is of one place of the residual stream (r5, r5.mid) or of "
                f"what one MLP writes into it (m5), not of “{self.site!s:.40}”."
            )
        object.__setattr__(self, "site", sites[0])
        if not isinstance(self.digest, str) or not re.fullmatch(r"([0-9a-f]{64})?", self.digest):
            raise ExperimentError(
                f"“{self.digest!s:.20}” is no SHA-256 digest: 64 digits and letters from a to f."
            )

    def __str__(self) -> str:
        return f"{self.name}@{self.site}" + (f":{self.digest}" if self.digest else "")

    @property
    def layer(self) -> int:
        """The layer that its features are named by, that of its site."""
        return self.site.layer

    def is_among(self, others: Iterable[Sae]) -> bool:
        """Whether one of them is this SAE, by whatever name it was read."""
        named = [replace(one, name=self.name) if self.digest else one for one in others]
        return self in named

    def feature(self, index: int) -> Feature:
        """One of its features, as a site."""
        return Feature(self.layer, index)

    def one(self, given: Feature | str | int) -> Feature:
        """The one of its features that is meant: a Feature, its index, or as text “f3.12” or “12”.

        Raises: SiteError for what is none of this SAE.
        """
        text = str(given).strip()
        sites = parse_sites(f"f{self.layer}.{text}" if text.isdecimal() else text)
        if len(sites) != 1 or not isinstance(sites[0], Feature) or sites[0].layer != self.layer:
            raise SiteError(
                f"Name one feature of “{self.name}”, as in f{self.layer}.12; “{text[:40]}” is not "
                "that."
            )
        return sites[0]

    @staticmethod
    def parse(given: Any) -> Sae:
        """Read `"seq-gpt2-r3@r3"` or `"mine@m5:9f86…"`. Raises: ExperimentError for another."""
        if isinstance(given, Sae):
            return given
        parts = _WRITTEN.fullmatch(given) if isinstance(given, str) else None
        if parts is None:
            raise ExperimentError(f"{given!r:.80} is no SAE: write its name and site, {_AS_IN}.")
        return Sae(parts[1], parts[2], parts[3] or "")


AsSaes = Sae | str | Iterable[Sae | str]
"""What `saes` reads."""


def saes(given: Any = ()) -> tuple[Sae, ...]:
    """Read SAEs: one, or a list of such, or text with one a line.

    Raises: ExperimentError or SiteError for one that cannot be read, for two of one layer.
    """
    result: dict[int, Sae] = {}
    if isinstance(given, Sae):
        given = (given,)
    elif isinstance(given, str):
        given = [line for line in given.splitlines() if line.strip()]
    elif given is None or isinstance(given, Mapping | bytes) or not isinstance(given, Iterable):
        raise ExperimentError(f"{given!r:.60} is no list of SAEs: write each {_AS_IN}.")
    for i, one in enumerate(given):
        if i == MOST_SAES:
            raise ExperimentError(f"More than {MOST_SAES} SAEs are given.")
        try:
            read = Sae.parse(one)
        except EngineError as wrong:
            raise type(wrong)(f"In SAE {i + 1}: {wrong}") from wrong
        if read.layer in result:
            other = result[read.layer]
            raise ExperimentError(
                f"“{other.name}” and “{read.name}” are both of layer {read.layer}, and f"
                f"{read.layer}.0 is a feature of one: keep one of them."
            )
        result[read.layer] = read
    return tuple(result.values())
