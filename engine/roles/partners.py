"""How much heads read of what others write: scores of pairs, and what is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float

from ..experiment.results import Snapshot
from ..experiment.sites import Head, Shape
from ..showing.site_grid import SiteGrid
from ..showing.writing import Rows
from .looks import one_head

INTO = {"q": "queries", "k": "keys", "v": "values"}
"""What of the later head reads what the earlier one writes."""
_UNLIKELY = 0.05


@dataclass(frozen=True, eq=False)
class Composition(Snapshot):
    """How much each head reads of what each earlier one writes.

    `score` [layer head_index layer head_index]: from the first head into the second's `into`, 0 to
    1; NaN where the second does not come in a later layer, in layers without heads, and where not
    done yet. `chance` and `spread`: mean and standard deviation over random maps of these shapes.
    `shape`: the model's. `notes`: sentences. `progress`: 0 to 1. Source, and what it does not show:
    `engine.roles.composition`.
    """

    into: str
    score: Float[np.ndarray, "layer head_index layer head_index"]
    chance: float
    spread: float
    shape: Shape
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """How many pairs have a score."""
        return int(np.isfinite(self.score).sum())

    @property
    def above_chance(self) -> float:
        """The least score that is above chance: of as many pairs of random maps, none reaches it
        but once in twenty times (normal, times the number of pairs)."""
        far = NormalDist().inv_cdf(1 - _UNLIKELY / max(1, self.n))
        return self.chance + far * self.spread

    def of(self, sender: str | Head, reader: str | Head) -> float:
        """The score from one head into another. Raises: SiteError, EngineError for no head."""
        one, other = (one_head(head, self.shape) for head in (sender, reader))
        return float(self.score[one.layer, one.head, other.layer, other.head])

    def grid(self, head: str | Head | None = None) -> SiteGrid:
        """Of one head: what it reads of each earlier one, and what each later one reads of it.
        Without one: each head's highest score in either role."""
        if head is None:
            both = np.concatenate([self.score, self.score.transpose(2, 3, 0, 1)], axis=2)
            known = np.isfinite(both).any((2, 3))
            values = np.where(known, np.nan_to_num(both, nan=-1).max((2, 3)), np.nan)
            name = f"highest composition\ninto {INTO[self.into]}, either way"
        else:
            own = one_head(head, self.shape)
            values = self.score[:, :, own.layer, own.head].copy()
            values[own.layer :] = self.score[own.layer, own.head, own.layer :]
            name = f"composition into {INTO[self.into]},\nearlier → {own} → later"
        return SiteGrid(values, np.full(len(values), np.nan), name)

    def table(self, most: int | None = 100, head: str | Head | None = None) -> Rows:
        """One row a pair, of one head or of all, the highest scores first, `most` of them:
        `sender`, `reader`, `score`, and by how many spreads it is above `chance`."""
        score = self.score
        if head is not None:
            own = one_head(head, self.shape)
            among = np.zeros(score.shape, bool)
            among[own.layer, own.head] = among[:, :, own.layer, own.head] = True
            score = np.where(among, score, np.nan)
        order = np.argsort(-np.nan_to_num(score, nan=-1.0), axis=None)
        n = int(np.isfinite(score).sum())
        places = np.stack(np.unravel_index(order[: n if most is None else min(n, most)],
                                           score.shape), axis=1)  # fmt: skip
        return [
            {"sender": str(Head(a, b)), "reader": str(Head(c, d)), "into": self.into,
             "score": float(score[a, b, c, d]), "chance": self.chance,
             "above_chance": self.above_chance,
             "spreads": float((score[a, b, c, d] - self.chance) / self.spread)}
            for a, b, c, d in places.tolist()
        ]  # fmt: skip
