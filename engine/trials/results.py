"""A certificate: what was tried of a model when it was loaded, with the figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PlaceCheck:
    """One kind of place, tried at some layers.

    `name`: its TransformerLens name. `layers`: where it was tried. `reads`: how far what a shared
    pass sees there is from what a plain hook sees, as a share of its size, at worst; `edits`: the
    same of the logits after a change. `moves`: how far that change moved the logits, as a share of
    theirs, at least. `why`: why it is refused; empty where it holds.
    """

    name: str
    layers: tuple[int, ...]
    reads: float
    edits: float
    moves: float
    why: str = ""

    @property
    def holds(self) -> bool:
        return not self.why


@dataclass(frozen=True)
class Check:
    """One thing that must hold of a model. `figure` is at most `limit` where it does; `why` says
    what is refused where it does not, and is empty otherwise."""

    name: str
    figure: float
    limit: float
    why: str = ""

    @property
    def holds(self) -> bool:
        return not self.why


@dataclass(frozen=True)
class Certificate:
    """What a model was seen to do as the last step of loading it.

    `kernel`: how its attention is worked out. `places` and `checks`: what was tried, each with its
    figures (relative differences of norms). `absent`: places that the architecture does not have.
    `versions`: of what ran it. `seconds`: what the trial took.
    """

    model: str
    architecture: str
    dtype: str
    kernel: str
    places: tuple[PlaceCheck, ...]
    checks: tuple[Check, ...]
    absent: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    seconds: float

    @property
    def refused(self) -> tuple[str, ...]:
        """What does not hold, by name."""
        places = [place.name for place in self.places if not place.holds]
        return (*places, *(check.name for check in self.checks if not check.holds))

    @property
    def worst(self) -> float:
        """The largest difference from a plain hook among the places that hold."""
        return max((max(p.reads, p.edits) for p in self.places if p.holds), default=0.0)

    @property
    def mark(self) -> str:
        """A few words to stand beside the model's name."""
        n = sum(place.holds for place in self.places)
        sentence = f"certified: {n} kinds of places as plain hooks, to {self.worst:.0e}"
        return sentence + (f"; not {', '.join(self.refused)}" if self.refused else "")

    def table(self) -> list[dict[str, Any]]:
        """A line for each thing tried: name, layers, figures, and what is refused and why."""
        places = [
            {
                "tried": p.name,
                "layers": " ".join(map(str, p.layers)),
                "reads": p.reads,
                "edits": p.edits,
                "moves": p.moves,
                "limit": None,
                "refused": p.why,
            }
            for p in self.places
        ]
        checks = [
            {
                "tried": c.name,
                "layers": "",
                "reads": c.figure,
                "edits": None,
                "moves": None,
                "limit": c.limit,
                "refused": c.why,
            }
            for c in self.checks
        ]
        return places + checks
