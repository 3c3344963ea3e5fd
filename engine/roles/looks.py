"""Which words heads look at from which: scores of pairs, and what is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..errors import EngineError
from ..experiment.results import Snapshot
from ..experiment.sites import Head, Shape, parse_sites
from ..showing.charts import BARE
from ..showing.heatmap import cell_heatmap, colour_bar, colours
from ..showing.site_grid import SiteGrid
from ..showing.writing import Rows
from .chance import least_above
from .words import Tokens

if TYPE_CHECKING:
    import plotly.graph_objects as go


def one_head(given: str | Head, shape: Shape | None = None) -> Head:
    """The one head that is named. Raises: EngineError for what is none, or none of that shape."""
    sites = parse_sites([given] if isinstance(given, Head) else given)
    site = sites[0] if len(sites) == 1 else None
    if not isinstance(site, Head) or (shape is not None and site not in shape.heads):
        raise EngineError(f"“{given!s:.40}” is no head of this model; one is named, as 9.1.")
    return site


@dataclass(frozen=True, eq=False)
class QKScores(Snapshot):
    """How much each head looks from one word at another, by its weights.

    `scores` [layer head_index query key]: before the softmax, as the model scales them, without
    unit: e to the difference of two is by how much more attention one of two keys gets. NaN in
    layers without heads, up to that of `keys_through`, where a layer does not look so far back, and
    where not done yet. `queries`, `keys`: the words that are one token each. `distance`: how many
    tokens the query stands behind the key, which matters only where `by_distance`. `keys_through`:
    the head of whose writing keys are made, "" where they are the words. `notes`: sentences.
    `progress`: 0 to 1. What it does not show: `engine.roles.attending`.
    """

    queries: Tokens
    keys: Tokens
    scores: Float[np.ndarray, "layer head_index query key"]
    distance: int
    keys_through: str
    embedding: str
    by_distance: bool
    notes: tuple[str, ...] = ()

    @cached_property
    def _known(self) -> np.ndarray:
        known: np.ndarray = np.asarray(np.isfinite(self.scores).all((2, 3)))
        return known

    def pairs(self, by: int = 0) -> list[tuple[int, int]]:
        """Which query is to look at which key, `by` places on in the lists as they were given:
        indices into both. Raises: EngineError where that leaves none."""
        return self.queries.pairs(self.keys, by)

    def n(self, by: int = 0) -> int:
        """How many words are scored."""
        return len(self.pairs(by))

    def score(self, by: int = 0) -> Float[np.ndarray, "layer head_index"]:
        """The share of words from which a head looks most at the word `by` places on, of all keys:
        0 the word itself, −1 the one before. 0 to 1; NaN where not known."""
        i, j = np.array(self.pairs(by)).T
        scores = np.nan_to_num(self.scores[:, :, i])
        meant = np.take_along_axis(scores, j[None, None, :, None], 3)
        most = (scores >= meant).sum(-1) == 1  # a key that is no greater than another is not it
        return np.where(self._known, most.mean(-1), np.nan)

    def margin(self, by: int = 0) -> Float[np.ndarray, "layer head_index"]:
        """By how much the score of the word meant is above the mean of the others, over words:
        above 0 it is looked at more."""
        i, j = np.array(self.pairs(by)).T
        rows, n = self.scores[:, :, i].astype(float), len(self.keys.ids)
        meant = rows[:, :, range(len(i)), j]
        margins: np.ndarray = (meant - (rows.sum(-1) - meant) / max(1, n - 1)).mean(-1)
        return margins

    @property
    def chance(self) -> float:
        """The share of a head that looks at any of the keys alike."""
        return 1 / len(self.keys.ids)

    def above_chance(self, by: int = 0) -> float:
        """The least share that is above chance: of heads that look at any key, none of all reaches
        it but once in twenty times (binomial, times the number of heads)."""
        return least_above(self.n(by), self.chance, int(self._known.sum()))

    def grid(self, by: int = 0) -> SiteGrid:
        """`score` of each head, with no MLPs."""
        score = self.score(by)
        name = f"share of {self.n(by)} words that\nlook most at {_called(by)}"
        return SiteGrid(score, np.full(len(score), np.nan), name, most=1.0)

    def table(self, by: int = 0) -> Rows:
        """One row a head, the highest scores first: `score`, `n`, the `spread` over the words
        (standard deviation), `chance`, `above_chance`, `margin`."""
        score, margin, above = self.score(by), self.margin(by), self.above_chance(by)
        order = sorted(
            zip(*np.nonzero(self._known), strict=True), key=lambda at: (-score[at], -margin[at])
        )
        return [
            {"site": str(Head(int(at[0]), int(at[1]))), "layer": int(at[0]), "head": int(at[1]),
             "score": float(score[at]), "n": self.n(by),
             "spread": float(np.sqrt(score[at] * (1 - score[at]))), "chance": self.chance,
             "above_chance": above, "margin": float(margin[at])}
            for at in order
        ]  # fmt: skip

    def words(self, head: str | Head) -> Rows:
        """One row a pair of one head: the `query`, the `key`, their `score`, and the `share` of the
        query's attention that the key would get were these keys all there is.

        Raises: SiteError, EngineError for what is no head with a score.
        """
        scores = self._of(head)
        shares = _softmax(scores)
        return [
            {"query": query, "key": key, "score": float(scores[i, j]), "share": float(shares[i, j])}
            for i, query in enumerate(self.queries.named)
            for j, key in enumerate(self.keys.named)
        ]

    def tops(self, head: str | Head, by: int = 0) -> Rows:
        """One row a word of one head: the `query`, the key `meant`, the key that it `looks` most
        at, whether that is `right`, and the `share` of the attention to these keys that it gets.

        Raises: as `words`, and for a `by` that leaves no word.
        """
        scores = self._of(head)
        shares, keys = _softmax(scores), self.keys.named
        return [
            {"query": self.queries.named[i], "meant": keys[j], "looks": keys[top],
             "right": top == j, "share": float(shares[i, top])}
            for i, j in self.pairs(by)
            for top in (int(scores[i].argmax()),)
        ]  # fmt: skip

    def figure(self, head: str | Head) -> go.Figure:
        """One head: queries down, keys across, each score less the mean of its row; blue is looked
        at more than the others. Raises: as `words`."""
        import plotly.graph_objects as go

        scores = self._of(head)
        values, shares = scores - scores.mean(-1, keepdims=True), _softmax(scores)
        queries, keys = (tuple(map(escape, one.named)) for one in (self.queries, self.keys))
        told = [
            [f"from <b>{query}</b> at <b>{key}</b>: score {scores[i, j]:+.3f}, "
             f"{values[i, j]:+.3f} beside the mean of its row,<br>{shares[i, j]:.0%} of the "
             "attention to these keys" for j, key in enumerate(keys)]
            for i, query in enumerate(queries)
        ]  # fmt: skip
        size = max(14, min(30, 480 // max(len(queries), len(keys))))
        bar = colour_bar("score before the softmax,\nless its row's mean")
        return go.Figure(
            cell_heatmap(values, told, colorbar=bar, **colours(values, signed=True)),
            layout={
                "autosize": False,
                "width": size * len(keys) + 230,
                "height": max(size * len(queries), 180) + 120,
                "margin": {"l": 90, "r": 120, "t": 10, "b": 100},
                "xaxis": {
                    "tickvals": list(range(len(keys))),
                    "ticktext": keys,
                    "tickangle": -60,
                    "title": {"text": "key: looked at", "standoff": 6},
                    **BARE,
                },
                "yaxis": {
                    "tickvals": list(range(len(queries))),
                    "ticktext": queries,
                    "range": [len(queries) - 0.5, -0.5],
                    "title": {"text": "query", "standoff": 6},
                    **BARE,
                },
            },
        )

    def _of(self, head: str | Head) -> Float[np.ndarray, "query key"]:
        site = one_head(head)
        layers, heads = self._known.shape
        if site.layer >= layers or site.head >= heads or not self._known[site.layer, site.head]:
            raise EngineError(f"{site} has no score here; heads have one, as 9.1.")
        scores: np.ndarray = self.scores[site.layer, site.head].astype(float)
        return scores


def _softmax(scores: np.ndarray) -> np.ndarray:
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    result: np.ndarray = shares / shares.sum(-1, keepdims=True)
    return result


def _called(by: int) -> str:
    return {0: "themselves", -1: "the word before", 1: "the next"}.get(by, f"the word {by:+}")
