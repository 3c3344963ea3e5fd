"""Which families a model does in which styles: how many prompts it gets right, by how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..errors import EngineError
from ..experiment.results import Snapshot
from ..showing.charts import BARE
from ..showing.heatmap import cell_heatmap
from ..showing.palette import MORE
from ..showing.writing import Rows, signed
from .families import styles_of
from .styles import STYLES

if TYPE_CHECKING:
    import plotly.graph_objects as go

SENTENCE = "sentence"
"""What stands for a style where a family is a sentence, whose form is its own."""


@dataclass(frozen=True, eq=False)
class StyleScores(Snapshot):
    """How a model does families in the styles they come in: [family style], in the order of
    `families` and `styles`.

    `right`: of `n` prompts drawn with `seed`, how many the model gets right: the answer ranks first
    of the whole vocabulary where answer and distractor part. `logit_diff` and `spread`: mean over
    those prompts of logit(answer) − logit(distractor), positive is right, and their standard
    deviation, as of a population. `n_prompts`: how many of the n differ; the others come again, as
    a family may have few prompts of one number of tokens. NaN where a family does not come in that
    style, where nothing is known yet, and where no such prompts can be drawn for this model, or not
    be scored: `reasons` then has why, in a sentence. `progress`: 0 to 1. What it does not show:
    prompts of other lengths and numbers of tokens, and, as it is of few prompts, small differences
    between styles.
    """

    model: str
    families: tuple[str, ...]
    n: int
    seed: int
    right: Float[np.ndarray, "family style"]
    logit_diff: Float[np.ndarray, "family style"]
    spread: Float[np.ndarray, "family style"]
    n_prompts: Float[np.ndarray, "family style"]
    reasons: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def styles(self) -> tuple[str, ...]:
        """The columns: STYLES, and "sentence" for families whose form is their own."""
        return COLUMNS

    def of(self, family: str, style: str = SENTENCE) -> int | None:
        """How many prompts of a family are right in a style; None where that is not known, or
        cannot be. Raises: EngineError for a family not asked of, or a style it does not come in."""
        right = self.right[self._at(family, style)]
        return None if np.isnan(right) else int(right)

    def told(self, family: str, style: str = SENTENCE) -> str:
        """The same in words: "12 of 12", "cannot be asked", or empty where it is not known yet."""
        right = self.of(family, style)
        if right is None:
            return "cannot be asked" if (family, style) in self.reasons else ""
        return f"{right} of {self.n}"

    def best(self, family: str) -> str | None:
        """The style in which most prompts are right, of equal ones that with the greatest mean
        logit difference; None where none is right or known, and for a sentence."""
        known = [
            (self.right[at], self.logit_diff[at], -at[1])
            for at in (self._at(family, style) for style in styles_of(family))
            if self.right[at] > 0
        ]
        return COLUMNS[-max(known)[2]] if known else None

    def _at(self, family: str, style: str) -> tuple[int, int]:
        if family not in self.families or style not in forms(family):
            raise EngineError(
                f"Nothing was asked of “{family!s:.40}” as “{style!s:.40}”: the families are "
                f"{', '.join(self.families)}."
            )
        return self.families.index(family), COLUMNS.index(style)

    def figure(self) -> go.Figure:
        """Families down, styles across; each cell says how many are right, and is the darker the
        more. Bold is the best of its family; a dash, that none can be drawn."""
        import plotly.graph_objects as go

        texts = np.full(self.right.shape, "", dtype=object)
        told = texts.copy()
        for row in self.table():
            family, style = str(row["family"]), str(row["style"])
            at = self._at(family, style)
            says = self.told(family, style)
            texts[at] = f"<b>{says}</b>" if row["best"] else "–" if row["why_not"] else says
            more = f", mean logit difference {signed(self.logit_diff[at])} ± {self.spread[at]:.2f}"
            more += f", {self.n_prompts[at]:.0f} different prompts"
            name = f"<b>{escape(family)}, {style}</b>: "
            told[at] = name + (escape(str(row["why_not"])) or says + more if says else "not known")
        used = [
            i for i, style in enumerate(COLUMNS) if any(style in forms(f) for f in self.families)
        ]
        return go.Figure(
            cell_heatmap(
                self.right[:, used],
                told[:, used],
                x=list(range(len(used))),
                text=texts[:, used],
                texttemplate="%{text}",
                textfont={"size": 12},
                colorscale=MORE,
                zmin=0,
                zmax=self.n,
                showscale=False,
            ),
            layout={
                "autosize": False,
                "width": 90 * len(used) + 180,
                "height": 26 * len(self.families) + 50,
                "margin": {"l": 10, "r": 170, "t": 30, "b": 20},
                "xaxis": {
                    "tickvals": list(range(len(used))),
                    "ticktext": [COLUMNS[i] for i in used],
                    "side": "top",
                    **BARE,
                },
                "yaxis": {
                    "tickvals": list(range(len(self.families))),
                    "ticktext": [escape(family) for family in self.families],
                    "range": [len(self.families) - 0.5, -0.5],
                    "side": "right",
                    **BARE,
                },
            },
        )

    def table(self) -> Rows:
        """A row a family and style it comes in: how many are `right` of `n`, mean `logit_diff` and
        its `spread` (None where not known), how many `prompts` differ, whether it is the `best` of
        its family, and `why_not`, where such prompts cannot be drawn or scored."""
        rows: Rows = []
        for family in self.families:
            best = self.best(family)
            for style in forms(family):
                at = self._at(family, style)
                numbers = (float(x[at]) for x in (self.logit_diff, self.spread, self.n_prompts))
                diff, spread, prompts = (None if np.isnan(x) else x for x in numbers)
                rows.append(
                    {
                        "family": family,
                        "style": style,
                        "right": self.of(family, style),
                        "n": self.n,
                        "logit_diff": diff,
                        "spread": spread,
                        "prompts": prompts if prompts is None else int(prompts),
                        "best": style == best,
                        "why_not": self.reasons.get((family, style), ""),
                    }
                )
        return rows


COLUMNS = (*STYLES, SENTENCE)


def forms(family: str) -> tuple[str, ...]:
    """The columns that a family has numbers in: its styles, or "sentence"."""
    return styles_of(family) or (SENTENCE,)
