"""A sparse autoencoder in training, and how it went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..experiment.sae import Sae
from ..showing.charts import chart_layout
from ..showing.palette import PALETTE
from ..showing.writing import Rows

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class SaeTraining:
    """How training goes, at `tokens` [point] read so far.

    `unexplained`: the share of the variance that is left, Σ ‖x − x̂‖² / Σ ‖x − mean‖², of the batch
    just learnt. `l0`: features on at a token, mean of that batch. `dead`: the share of features
    that were on at none of the last ten batches' tokens. `n_read`: tokens there are, read over and
    over. `sae`: what was learnt, once it is done or its time is over; None before. `ended`: why it
    ended before all tokens were learnt from, in words.
    """

    d_sae: int
    k: int
    n_tokens: int
    n_read: int
    tokens: Float[np.ndarray, " point"]
    unexplained: Float[np.ndarray, " point"]
    l0: Float[np.ndarray, " point"]
    dead: Float[np.ndarray, " point"]
    sae: Sae | None
    seconds: float
    progress: float
    seconds_left: float | None
    ended: str = ""

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return self.sae is not None

    def table(self) -> Rows:
        """A row a point of the curves."""
        return [
            {"tokens": int(n), "unexplained": float(u), "l0": float(l0), "dead": float(dead)}
            for n, u, l0, dead in zip(
                self.tokens, self.unexplained, self.l0, self.dead, strict=True
            )
        ]

    def figure(self) -> go.Figure:
        """Three curves side by side over the tokens learnt from: variance left, L0, dead."""
        import plotly.graph_objects as go

        curves = (
            ("variance left", self.unexplained, PALETTE["mlp"]),
            ("L0", self.l0, PALETTE["head"]),
            ("dead", self.dead, PALETTE["control"]),
        )
        layout, width = chart_layout(None, 250, showlegend=False), 1 / len(curves)
        figure = go.Figure(layout=layout)
        for i, (name, values, colour) in enumerate(curves):
            axis = "" if i == 0 else str(i + 1)
            figure.add_trace(
                go.Scatter(
                    x=self.tokens, y=values, mode="lines", line={"color": colour}, name=name,
                    xaxis=f"x{axis}", yaxis=f"y{axis}",
                    hovertemplate="%{x:,} tokens: %{y:.3g}<extra></extra>",
                )
            )  # fmt: skip
            figure.layout[f"xaxis{axis}"] = {
                "domain": [i * width + 0.05 * (i > 0), (i + 1) * width - 0.02],
                "range": [0, self.n_tokens],
                "anchor": f"y{axis}",
                "title": {"text": "tokens"},
                "nticks": 4,
            }
            figure.layout[f"yaxis{axis}"] = {
                "anchor": f"x{axis}", "rangemode": "tozero", "title": {"text": name, "standoff": 4},
            }  # fmt: skip
        return figure
