"""What a head writes on a prompt, and where it looks, clean beside changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from ..experiment.sites import Head
from ..showing.charts import TOLD, chart_layout
from ..showing.palette import PALETTE
from ..showing.writing import Rows, visible
from ..text.shown import token_text

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class HeadRun:
    """A head in one run, at the last position.

    `logits` [shown]: what it adds itself to the logits of the tokens shown, above its mean over all
    tokens; `ranks`: their places among all, 1 the most raised. `norm`: the L2 norm of what it
    writes into the stream, from 0. `pattern` [pos]: its attention, 0 to 1; NaN where none is seen.
    """

    logits: Float[np.ndarray, " shown"]
    ranks: Int[np.ndarray, " shown"]
    norm: float
    pattern: Float[np.ndarray, " pos"]


@dataclass(frozen=True)
class HeadWrites:
    """What a head writes at the last position, clean and ablated, the same where nothing is
    changed.

    `ids` and `tokens` [shown]: the tokens it raises most, and least, in either run, the most raised
    of the clean one first. `pieces` and `texts` [pos]: what it may look at. `cosine`: of what it
    writes in both runs, −1 to 1; NaN where that is nothing. `n_tokens` there are. What it does not
    show: what later parts make of it.
    """

    head: Head
    k: int
    n_tokens: int
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    pieces: tuple[str, ...]
    texts: tuple[str, ...]
    clean: HeadRun
    ablated: HeadRun
    cosine: float
    notes: tuple[str, ...]

    def most(self, run: str = "clean") -> tuple[str, ...]:
        """The k tokens it raises most in a run, "clean" or "ablated", the most raised first."""
        return self._some(run, 1)

    def least(self, run: str = "clean") -> tuple[str, ...]:
        """The k tokens it raises least, which it lowers, the least first."""
        return self._some(run, -1)

    def looks(self, run: str = "clean", k: int = 5) -> tuple[int, ...]:
        """The k positions it looks at most in a run; none where its pattern is not seen."""
        pattern = self._run(run).pattern
        order = np.argsort(-pattern, kind="stable")[:k]
        return tuple(int(i) for i in order if not np.isnan(pattern[i]))

    def table(self) -> Rows:
        """A row a token shown: what the head adds to its logit in each run, and its ranks there."""
        a, b = self.clean, self.ablated
        return [
            {
                "id": token,
                "token": text,
                "clean": float(a.logits[i]),
                "ablated": float(b.logits[i]),
                "change": float(b.logits[i] - a.logits[i]),
                "clean_rank": int(a.ranks[i]),
                "ablated_rank": int(b.ranks[i]),
            }
            for i, (token, text) in enumerate(zip(self.ids, self.tokens, strict=True))
        ]

    def attention(self, k: int = 5) -> Rows:
        """A row a token that it looks at most in either run, with its attention in both, in the
        order of the text."""
        shown = sorted({*self.looks("clean", k), *self.looks("ablated", k)})
        a, b = self.clean.pattern, self.ablated.pattern
        return [
            {
                "position": i,
                "piece": self.pieces[i],
                "text": self.texts[i],
                "clean": float(a[i]),
                "ablated": float(b[i]),
                "change": float(b[i] - a[i]),
            }
            for i in shown
        ]

    def figure(self) -> go.Figure:
        """A bar a token and run: what the head adds to its logit."""
        import plotly.graph_objects as go

        n = len(self.ids)
        names = [visible(token) for token in self.tokens]
        figure = go.Figure()
        same = np.array_equal(self.clean.logits, self.ablated.logits)
        for name in ("clean",) if same else ("clean", "ablated"):
            one = self._run(name)
            figure.add_bar(
                x=list(range(n)),
                y=one.logits,
                name=name,
                marker={
                    "color": PALETTE[name],
                    "pattern": {"shape": "" if name == "clean" else "/"},
                },
                customdata=[
                    f"{token_text(text, text)}, {name}: {value:+.3f}, rank {rank:,}"
                    for text, value, rank in zip(self.tokens, one.logits, one.ranks, strict=True)
                ],
                hovertemplate=TOLD,
            )
        layout = chart_layout(None, 320, showlegend=True, barmode="group")
        return figure.update_layout(
            **layout | {"margin": layout["margin"] | {"b": 80}},
            xaxis={
                "tickvals": list(range(n)),
                "ticktext": [name[:10] for name in names],
                "tickangle": -60,
                "showgrid": False,
            },
            yaxis={"title": {"text": f"{self.head}, logits above their mean"}, "zeroline": True},
        )

    def _run(self, run: str) -> HeadRun:
        return {"clean": self.clean, "ablated": self.ablated}[run]

    def _some(self, run: str, sign: int) -> tuple[str, ...]:
        logits = self._run(run).logits
        order = np.argsort(-sign * logits, kind="stable")[: self.k]
        return tuple(self.tokens[i] for i in order)
