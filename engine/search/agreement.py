"""Whether searches agree: how they rank the same nodes, and how much their circuits share.

Ranks are compared by Spearman's correlation of what each search says of a node (its `importance`),
circuits by their Jaccard index beside that of random circuits of their sizes. What neither shows:
that what searches agree on is right, as they may be misled by the same pairs.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..circuits.overlaps import Overlaps, overlaps
from ..showing.writing import Rows
from ..sweeps.estimates import Agreement, agreement_of
from .results import Discovery

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class SearchAgreement:
    """Searches over the nodes of one model, every two compared.

    `spearman` [search search]: the correlation of how they rank the nodes that both asked about,
    −1 to 1, of which gone ones share a rank where nodes are not ranked by gradients; NaN without
    spread. `overlaps`: what their circuits share, beside chance.
    """

    searches: tuple[Discovery, ...]
    spearman: Float[np.ndarray, "search search"]
    overlaps: Overlaps

    def figure(self) -> go.Figure:
        """The Jaccard index of every two circuits, with its chance level below it."""
        return self.overlaps.figure()

    def table(self) -> Rows:
        """One row for every two: Spearman's correlation, Jaccard index and its chance level."""
        two = itertools.combinations(range(len(self.searches)), 2)
        return [
            {"a": one.a.name, "b": one.b.name, "spearman": float(self.spearman[i, j]),
             "jaccard": one.jaccard, "chance": one.chance}
            for (i, j), one in zip(two, self.overlaps, strict=True)
        ]  # fmt: skip


def agreement_of_searches(searches: Sequence[Discovery]) -> SearchAgreement:
    """Compare every two of several searches, of one task by other rules, or of other tasks.

    Raises: EngineError for fewer than two, or for models of other shapes.
    """
    shared = overlaps([one.circuit for one in searches])
    n = len(searches)
    spearman = np.eye(n)
    for i, j in itertools.combinations(range(n), 2):
        spearman[i, j] = spearman[j, i] = ranks_agree(searches[i], searches[j]).spearman
    return SearchAgreement(tuple(searches), spearman, shared)


def ranks_agree(a: Discovery, b: Discovery) -> Agreement:
    """The correlation of what two searches say of the nodes that both asked about."""
    ours, theirs = a.importance, b.importance
    sites = [site for site in ours if site in theirs]
    return agreement_of(*(np.array([some[s] for s in sites]) for some in (ours, theirs)))
