"""What heads write of words: places of words among what is written, and scores made of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from ..errors import EngineError
from ..experiment.results import Snapshot
from ..experiment.sites import Head, parse_sites
from ..showing.site_grid import SiteGrid
from ..showing.writing import Rows
from .chance import least_above
from .words import Tokens

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True, eq=False)
class OVScores(Snapshot):
    """What each head writes where it looks at a word alone, by its weights.

    `rank` [layer head_index input output]: the place of each output word among all tokens, 1 the
    most raised, the better one of a word's tokens; 0 in layers without heads and where not done
    yet. `top` [layer head_index input place]: the ids of the tokens that are raised most, `k` of
    them, and `top_texts` how they read. `inputs` and `outputs`: the words that are one token each,
    `inputs` as often as they are read in a text of the `context`. `copying` [layer head_index]: Σ
    Re λ / Σ |λ| over the eigenvalues λ of the head's map from a token's embedding to its logits
    (Elhage et al. 2021), −1 to 1, 1 where each token raises itself; about 0 in random weights; NaN
    until known. `embedding`: what a word is taken for, "layer 0" or "embedding", where it is read.
    `n_tokens`: how many tokens there are to be raised. `notes`: sentences. `progress`: 0 to 1. What
    it does not show: whether a head ever looks at such a word, and what becomes of what it writes;
    a score is of the weights alone.
    """

    inputs: Tokens
    outputs: Tokens
    k: int
    rank: Int[np.ndarray, "layer head_index input output"]
    top: Int[np.ndarray, "layer head_index input place"]
    top_texts: dict[int, str]
    copying: Float[np.ndarray, "layer head_index"]
    embedding: str
    n_tokens: int
    context: str = "alone"
    notes: tuple[str, ...] = ()

    @cached_property
    def _known(self) -> np.ndarray:
        known: np.ndarray = np.asarray((self.rank > 0).all((2, 3)))
        return known

    def pairs(self, by: int = 1) -> list[tuple[int, int]]:
        """Which input is to give which output, `by` places on in the lists as they were given:
        indices into `inputs` and `outputs`. Raises: EngineError where that leaves none."""
        return self.inputs.pairs(self.outputs, by)

    def n(self, by: int = 1) -> int:
        """How many words are scored."""
        return len(self.pairs(by))

    def score(self, by: int = 1) -> Float[np.ndarray, "layer head_index"]:
        """The share of words of which a head raises the word `by` places on among its `k` most: 0
        of the word itself (the copy score, where both lists are one), 1 of the next (the successor
        score). 0 to 1; NaN without heads."""
        i, j = np.array(self.pairs(by)).T
        return np.where(self._known, (self.rank[:, :, i, j] <= self.k).mean(-1), np.nan)

    def others(self, by: int = 1) -> Float[np.ndarray, "layer head_index"]:
        """The same share over all words of the outputs that are not the one meant: how much of a
        score a head has that raises any word of the list."""
        pairs = self.pairs(by)
        rows = [i for i, _ in pairs]
        apart = np.ones((len(pairs), len(self.outputs.ids)), bool)
        apart[range(len(pairs)), [j for _, j in pairs]] = False
        right = self.rank[:, :, rows] <= self.k
        return np.where(self._known, right[:, :, apart].mean(-1), np.nan)

    @property
    def chance(self) -> float:
        """The share that a head would have which raises tokens at random."""
        return self.k * self.outputs.n_ids / self.n_tokens

    def above_chance(self, by: int = 1) -> float:
        """The least share that is above chance: with tokens raised at random, none of all heads
        reaches it but once in twenty times (binomial, times the number of heads). A word that is
        read in several texts counts as one, as what is made of it is much the same."""
        words = len({self.inputs.places[i] for i, _ in self.pairs(by)})
        return least_above(words, self.chance, int(self._known.sum()))

    def grid(self, by: int = 1) -> SiteGrid:
        """`score` of each head, with no MLPs."""
        score = self.score(by)
        name = f"share of {self.n(by)} words\nwhose {_called(by)} is raised"
        return SiteGrid(score, np.full(len(score), np.nan), name, most=1.0)

    def figure(self, by: int = 1) -> go.Figure:
        """`grid` drawn, with what else is known of each head at the pointer."""
        rows = {row["site"]: row for row in self.table(by)}
        grid = self.grid(by)
        hover = {
            site: f"<b>{site}</b> {rows[str(site)]['score']:.0%} of {self.n(by)}<br>"
            f"other words of the list {rows[str(site)]['others']:.0%}, copying "
            f"{rows[str(site)]['copying']:+.2f}"
            for site in grid.sites
        }
        return grid.figure(hover)

    def table(self, by: int = 1) -> Rows:
        """One row a head, the highest scores first: `score`, `n`, the `spread` of right and wrong
        over the words (standard deviation), `chance`, `above_chance`, `others`, the median `rank`
        of the word meant, `copying`."""
        i, j = np.array(self.pairs(by)).T
        ranks = np.median(self.rank[:, :, i, j], axis=-1)
        score, others, above = self.score(by), self.others(by), self.above_chance(by)
        order = sorted(
            zip(*np.nonzero(self._known), strict=True), key=lambda at: (-score[at], ranks[at])
        )
        return [
            {"site": str(Head(int(at[0]), int(at[1]))), "layer": int(at[0]), "head": int(at[1]),
             "score": float(score[at]), "n": self.n(by),
             "spread": float(np.sqrt(score[at] * (1 - score[at]))), "chance": self.chance,
             "above_chance": above, "others": float(others[at]), "rank": float(ranks[at]),
             "copying": float(self.copying[at])}
            for at in order
        ]  # fmt: skip

    def words(self, head: str | Head, by: int = 1) -> Rows:
        """One row a word of one head: the `input`, the word `meant`, its `rank`, whether it is
        `right`, and the tokens that are raised most.

        Raises: SiteError, EngineError for what is no head with a score.
        """
        (site,) = parse_sites([head] if isinstance(head, Head) else head)
        if not isinstance(site, Head) or not self._has(site):
            raise EngineError(f"{site} has no score here; heads have one, as 9.1.")
        rank, top = self.rank[site.layer, site.head], self.top[site.layer, site.head]
        return [
            {"input": self.inputs.named[i], "meant": self.outputs.named[j],
             "rank": int(rank[i, j]), "right": bool(rank[i, j] <= self.k),
             **{f"token{n + 1}": self.top_texts[int(token)] for n, token in enumerate(top[i])}}
            for i, j in self.pairs(by)
        ]  # fmt: skip

    def _has(self, site: Head) -> bool:
        layers, heads = self._known.shape
        return (
            site.layer < layers and site.head < heads and bool(self._known[site.layer, site.head])
        )


def _called(by: int) -> str:
    return {0: "own place's word", 1: "next"}.get(by, f"word {by:+}")
