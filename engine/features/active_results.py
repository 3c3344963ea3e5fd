"""Which features are on in a prompt, and where."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..experiment.results import Tokens
from ..experiment.sae import Sae
from ..experiment.sites import Feature
from ..showing.charts import BARE
from ..showing.heatmap import cell_heatmap, colour_bar, colours
from ..showing.writing import Rows
from ..text.shown import token_text

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class ActiveFeatures:
    """The features that are strongest at a prompt's positions, in the order of the positions where
    each is strongest in the clean run.

    `clean` and `ablated` [feature pos]: activations, from 0, in the unit of the model's own vectors
    where directions have length 1. Of a changed run they are what the SAE reads of what is there:
    of a feature that was set to 0 itself, what its own error and the others bring; of a
    transcoder's, which it reads before it writes, what it would be. `explained` [pos]:
    1 − ‖x − x̂‖² / ‖x − mean‖² of the clean run at each token, the mean over the prompt.
    `n_on` [pos]: features on in the clean run.
    """

    sae: Sae
    tokens: Tokens
    features: tuple[Feature, ...]
    clean: Float[np.ndarray, "feature pos"]
    ablated: Float[np.ndarray, "feature pos"]
    explained: Float[np.ndarray, " pos"]
    n_on: Float[np.ndarray, " pos"]

    def strongest(self, position: int, k: int = 5) -> tuple[Feature, ...]:
        """The features strongest at a position in the clean run, of those that are on."""
        values = self.clean[:, position]
        order = np.argsort(-values, kind="stable")[:k]
        return tuple(self.features[i] for i in order if values[i] > 0)

    def table(self) -> Rows:
        """A row a feature and position at which it is on in either run."""
        return [
            {
                "feature": str(feature),
                "position": p,
                "piece": piece,
                "clean": float(self.clean[i, p]),
                "ablated": float(self.ablated[i, p]),
            }
            for i, feature in enumerate(self.features)
            for p, piece in enumerate(self.tokens.pieces)
            if self.clean[i, p] > 0 or self.ablated[i, p] > 0
        ]

    def figure(self, run: str = "clean") -> go.Figure:
        """Features down, positions across. `run`: "clean", "ablated", or "difference", ablated −
        clean, of which blue is stronger when ablated."""
        import plotly.graph_objects as go

        signed = run == "difference"
        values = {"clean": self.clean, "ablated": self.ablated}.get(run, self.ablated - self.clean)
        n, n_tokens = values.shape
        tokens = map(token_text, self.tokens.texts, self.tokens.pieces)
        labels = [f"{p} {escape(token)}" for p, token in enumerate(tokens)]
        told = [
            [
                f"<b>{feature}</b> at {label}: {self.clean[i, p]:.3g} clean, "
                f"{self.ablated[i, p]:.3g} ablated"
                for p, label in enumerate(labels)
            ]
            for i, feature in enumerate(self.features)
        ]
        legend = colour_bar("activation" + ("\nablated − clean" if signed else ""), x=1, xpad=60)
        return go.Figure(
            cell_heatmap(values, told, colorbar=legend, **colours(values, signed)),
            layout={
                "autosize": False,
                "width": max(340, 44 * n_tokens + 180),
                "height": 24 * max(n, 6) + 120,
                "margin": {"l": 10, "r": 170, "t": 10, "b": 110},
                "xaxis": {
                    "tickvals": list(range(n_tokens)),
                    "ticktext": labels,
                    "tickangle": -60,
                    "title": {"text": "position", "standoff": 6},
                    **BARE,
                },
                "yaxis": {
                    "tickvals": list(range(n)),
                    "ticktext": [str(feature) for feature in self.features],
                    "range": [max(n, 6) - 0.5, -0.5],
                    "side": "right",
                    **BARE,
                },
            },
        )
