"""Which sites are switched off: these, or all but these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import ExperimentError
from .sites import MLP, AsSites, Feature, Head, Heads, Neuron, Site, parse_sites, print_sites


@dataclass(frozen=True)
class Ablations:
    """Which sites are switched off, the verb included: ablate these, or keep only these.

    In "keep", every head not named is ablated; MLPs not named only if `mlps` says so.
    """

    sites: tuple[Site, ...] = ()
    verb: str = "ablate"
    mlps: bool = False

    def __post_init__(self) -> None:
        if self.verb not in ("ablate", "keep"):
            raise ExperimentError(f"“{self.verb}” is no verb for sites: say ablate or keep.")
        if self.mlps and self.verb != "keep":
            raise ExperimentError("`mlps` belongs to keep: to ablate MLPs, name them (m9).")
        whole = (Head, Heads, MLP)
        other = next((site for site in self.sites if not isinstance(site, whole)), None)
        if self.verb == "keep" and other is not None:
            names = {Neuron: "neurons", Feature: "features"}
            kind = names.get(type(other), "parts of heads and the stream")
            raise ExperimentError(f"Keep works on heads and MLPs; {kind} can only be ablated.")

    def __bool__(self) -> bool:
        return bool(self.sites) or self.verb == "keep"

    def __str__(self) -> str:
        sites = print_sites(self.sites)
        if self.verb == "ablate":
            return sites
        return " ".join(filter(None, ["keep+mlps" if self.mlps else "keep", sites]))


AsAblations = Ablations | AsSites | None
"""What `ablations` reads."""


def ablations(text: Any = "") -> Ablations:
    """Read what to switch off: `"1.3 m2"`, `"ablate 1.3"`, `"keep 1.3 m2"`, `"keep+mlps 1.3"`, or
    sites, or a list of either.

    `keep` ablates every head not named; `keep+mlps` every MLP not named as well.
    Raises: SiteError for a word that is no site.
    """
    if isinstance(text, Ablations):
        return text
    if not isinstance(text, str):
        return Ablations(() if text is None else parse_sites(text))
    verb, _, rest = text.strip().partition(" ")
    match verb.lower():
        case "keep":
            return Ablations(parse_sites(rest), "keep")
        case "keep+mlps":
            return Ablations(parse_sites(rest), "keep", mlps=True)
        case "ablate":
            return Ablations(parse_sites(rest))
    return Ablations(parse_sites(text))
