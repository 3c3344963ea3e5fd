"""What is known of a neuron in a text: its strongest contexts, and how its activations lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ..errors import EngineError
from ..experiment.change import Change, changes
from ..experiment.question import Question
from ..experiment.sites import Feature, Neuron
from ..showing.charts import chart_layout
from ..showing.palette import PALETTE
from ..showing.writing import Rows

if TYPE_CHECKING:
    import plotly.graph_objects as go

AROUND = 12
"""Tokens shown on either side of one."""
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_BARS = 60
_APART = 12
"""Labels of quantiles that fit beside each other."""


@dataclass(frozen=True)
class Context:
    """A token at which a neuron is strong: in which text, where in its window, and the tokens
    around with their activations. `at`: which of these it is."""

    text: int
    position: int
    token: str
    activation: float
    around: tuple[str, ...]
    activations: Float[np.ndarray, " around"]
    at: int

    @property
    def before(self) -> str:
        """What stands before it."""
        return "".join(self.around[: self.at])

    @property
    def after(self) -> str:
        """What stands behind it."""
        return "".join(self.around[self.at + 1 :])


@dataclass(frozen=True)
class NeuronContexts:
    """A neuron over a text, after its activation function, or a feature of an SAE, in the model's
    own unit.

    `values`: of each window, at its tokens but a BOS; empty where it is not read yet. `contexts`:
    the strongest token of each of the strongest windows. `progress`: the share that is read.
    """

    asked: Question[Any, Any]
    neuron: Neuron | Feature
    values: tuple[Float[np.ndarray, " _"], ...]
    contexts: tuple[Context, ...]
    progress: float
    seconds_left: float | None

    @property
    def n_windows(self) -> int:
        """How many windows were read."""
        return sum(len(one) > 0 for one in self.values)

    @cached_property
    def activations(self) -> Float[np.ndarray, " token"]:
        """All of them, from the least to the greatest."""
        return np.sort(np.concatenate(self.values)).astype(np.float64)

    @cached_property
    def quantiles(self) -> Float[np.ndarray, " quantile"]:
        """The activations at QUANTILES, by linear interpolation."""
        return np.quantile(self.activations, QUANTILES)

    @property
    def n_tokens(self) -> int:
        """How many tokens were read, BOS left out."""
        return len(self.activations)

    @property
    def active(self) -> float:
        """The share of tokens at which it is above 0."""
        return float((self.activations > 0).mean())

    def quantile(self, share: float) -> float:
        """The activation that this share of tokens does not exceed, 0 to 1."""
        if not 0 <= share <= 1:
            raise EngineError(f"A quantile is a share from 0 to 1, not {share}.")
        return float(np.quantile(self.activations, share))

    def forced(self, share: float) -> Change:
        """The change that forces the neuron to a quantile of its activations here: `set(v) n5.12`.

        Put it into an experiment's `changes`.
        """
        (change,) = changes(f"set({self.quantile(share) + 0.0:.6g}) {self.neuron}")
        return change

    def table(self) -> Rows:
        """A row a context, the strongest first."""
        return [
            {
                "neuron": str(self.neuron),
                "activation": one.activation,
                "text": one.text,
                "position": one.position,
                "before": one.before,
                "token": one.token,
                "after": one.after,
            }
            for one in self.contexts
        ]

    def figure(self) -> go.Figure:
        """How many tokens have which activation, with the quantiles marked; the count is drawn on a
        scale of logarithms."""
        import plotly.graph_objects as go

        counts, edges = np.histogram(self.activations, bins=_BARS)
        middle = (edges[1:] + edges[:-1]) / 2
        figure = go.Figure(
            go.Bar(
                x=middle, y=counts, marker={"color": PALETTE["mlp"]}, width=np.diff(edges),
                hovertemplate="about %{x:.3g}: %{y} tokens<extra></extra>",
            )
        )  # fmt: skip
        room = (float(edges[-1]) - float(edges[0])) / _APART
        drawn = float("inf")
        for share, value in reversed([*zip(QUANTILES, self.quantiles.tolist(), strict=True)]):
            if share in (0.5, 0.95, 1.0):
                label = f"{share:.0%}" if drawn - value > room else ""
                drawn = value if label else drawn
                figure.add_vline(
                    x=value, line={"color": PALETTE["control"], "width": 1, "dash": "dash"},
                    annotation={"text": label, "yanchor": "bottom", "y": 1},
                )  # fmt: skip
        layout = chart_layout(None, 240, showlegend=False) | {"bargap": 0}
        layout["margin"] = {**layout["margin"], "t": 26}
        return figure.update_layout(
            **layout,
            xaxis={"title": {"text": f"activation of {self.neuron}"}},
            yaxis={"title": {"text": "tokens (log)"}, "type": "log"},
        )
