"""What is known of steered texts: the texts themselves, and how much each repeats itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..experiment.experiment import Experiment
from ..showing.charts import TOLD, chart_layout
from ..showing.palette import PALETTE
from ..showing.writing import Rows

if TYPE_CHECKING:
    import plotly.graph_objects as go

N_GRAM = 3
"""Tokens whose coming again is a repetition."""


def repetition(ids: tuple[int, ...], n: int = N_GRAM) -> float:
    """The share of a text's n-grams that have come before in it, 0 to 1: 1 − different / all.

    NaN for a text of fewer than n tokens.
    """
    every = [ids[i : i + n] for i in range(len(ids) - n + 1)]
    return 1 - len({*every}) / len(every) if every else float("nan")


@dataclass(frozen=True)
class SteeredTexts:
    """What comes after each prompt: clean, steered, and with each of the random directions.

    `texts` and `ids` [prompt run]: what was generated, runs in the order of `runs`. `seed`: of the
    random directions. `progress`: 0 to 1.
    """

    experiment: Experiment
    name: str
    layer: int
    coefficient: float
    prompts: tuple[str, ...]
    seed: int
    texts: tuple[tuple[str, ...], ...]
    ids: tuple[tuple[tuple[int, ...], ...], ...]
    progress: float

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs' names: "clean", the direction's, "random 1" …"""
        n = len(self.ids[0]) - 2 if self.ids else 0
        return ("clean", self.name, *(f"random {i + 1}" for i in range(n)))

    @property
    def repetition(self) -> Float[np.ndarray, "run prompt"]:
        """The share of each text's 3-grams of tokens that have come before in it, 0 to 1; NaN for a
        text of fewer than 3 tokens."""
        n = len(self.runs) if self.ids else 0
        values = [[repetition(own[run]) for own in self.ids] for run in range(n)]
        return np.array(values, dtype=float).reshape(n, len(self.ids))

    @property
    def mean_repetition(self) -> Float[np.ndarray, " run"]:
        """Its mean over the prompts that have one; NaN where none has."""
        values = self.repetition
        known = np.isfinite(values)
        n = known.sum(1)
        return np.where(n > 0, np.where(known, values, 0).sum(1) / np.maximum(n, 1), np.nan)

    def table(self) -> Rows:
        """A row a prompt and run: its text, and how much it repeats itself."""
        values = self.repetition
        return [
            {
                "prompt": prompt,
                "run": run,
                "text": self.texts[p][r],
                "tokens": len(self.ids[p][r]),
                "repetition": float(values[r, p]),
            }
            for p, prompt in enumerate(self.prompts)
            for r, run in enumerate(self.runs)
        ]

    def figure(self) -> go.Figure:
        """The mean repetition of the clean run and the steered one as bars, each random direction's
        as a dot."""
        import plotly.graph_objects as go

        means = self.mean_repetition
        names = ["clean", self.name, "random directions"]
        bars = go.Bar(
            x=[float(x) for x in means[:2]], y=names[:2], orientation="h",
            marker={"color": [PALETTE["clean"], PALETTE["ablated"]]}, hovertemplate=TOLD,
            customdata=[f"<b>{n}</b>: repetition {x:.3f}" for n, x in zip(names, means[:2],
                                                                        strict=False)],
        )  # fmt: skip
        dots = go.Scatter(
            x=[float(x) for x in means[2:]], y=[names[2]] * len(means[2:]), mode="markers",
            marker={"color": PALETTE["control"], "size": 9}, hovertemplate=TOLD,
            customdata=[f"random {i + 1}: repetition {x:.3f}" for i, x in enumerate(means[2:])],
        )  # fmt: skip
        return go.Figure([bars, dots], chart_layout(None, 180, left=140)).update_layout(
            showlegend=False,
            xaxis={"title": {"text": "share of repeated 3-grams"}, "range": [-0.02, 1.02]},
            yaxis={"autorange": "reversed", "showgrid": False, "ticklen": 0},
        )
