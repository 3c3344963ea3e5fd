"""How healthy an SAE is: how much of the model it keeps, and how many of its features are alive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..experiment.results import Snapshot
from ..experiment.sae import Sae
from ..showing.charts import chart_layout
from ..showing.palette import PALETTE
from ..showing.writing import Rows

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_DEAD = 0.5
LEAST_RECOVERED = 0.8
LEAST_EXPLAINED = 0.5
"""Cuts beyond which an SAE is told to be sick. They are this tool's own, and lenient."""
_BARS = 48


@dataclass(frozen=True)
class SaeHealth(Snapshot):
    """What an SAE makes of a model, over the tokens of texts, a BOS left out.

    `l0`: features above 0 at a token, on average. `density` [feature]: the share of tokens at which
    each is above 0. `unexplained`: Σ ‖x − x̂‖² / Σ ‖x − mean‖², from 0, 1 being what the mean alone
    would leave. `cosine`: of x and x̂, mean over tokens. `clean_loss`, `spliced_loss`, `zero_loss`:
    cross-entropy of the text, nats a token, as it is, with x̂ in the place of x, and with 0 there.
    `kl`: KL(clean ‖ spliced), nats a token. NaN where nothing is known yet.
    """

    sae: Sae
    model: str
    n_tokens: int
    l0: float
    density: Float[np.ndarray, " feature"]
    unexplained: float
    cosine: float
    clean_loss: float
    spliced_loss: float
    zero_loss: float
    kl: float

    @property
    def dead(self) -> float:
        """The share of features above 0 at none of the tokens; of few tokens many are only rare."""
        return float((self.density == 0).mean())

    @property
    def explained(self) -> float:
        """1 − `unexplained`: up to 1, below 0 where the mean would say more."""
        return 1 - self.unexplained

    @property
    def recovered(self) -> float:
        """(zero − spliced) / (zero − clean) of the losses: 1 is the whole, 0 as bad as nothing
        there; NaN where putting 0 there costs nothing."""
        whole = self.zero_loss - self.clean_loss
        return (self.zero_loss - self.spliced_loss) / whole if whole > 1e-9 else float("nan")

    @property
    def sick(self) -> tuple[str, ...]:
        """Why it is sick, a sentence each; none where it is not, by cuts that are told."""
        said = []
        if self.dead > MOST_DEAD:
            said.append(
                f"{self.dead:.0%} of its features are on at none of these {self.n_tokens:,} tokens "
                f"(more than {MOST_DEAD:.0%}): switching those off does nothing here."
            )
        if self.explained < LEAST_EXPLAINED:
            said.append(
                f"It explains {self.explained:.0%} of the variance (less than "
                f"{LEAST_EXPLAINED:.0%}): most of what is there is in its error, which no feature "
                "changes."
            )
        if self.recovered < LEAST_RECOVERED:
            said.append(
                f"With it in place {self.recovered:.0%} of the loss is recovered (less than "
                f"{LEAST_RECOVERED:.0%}): what the model uses there is for a good part not in "
                "its features."
            )
        return tuple(said)

    @property
    def verdict(self) -> str:
        """What it is worth, in words."""
        if not self.n_tokens:
            return "Nothing is known of it yet."
        if self.sick:
            return " ".join(("It is sick.", *self.sick))
        if np.isnan(self.recovered):
            return "Putting 0 there costs this text nothing, so how much is recovered is not known."
        return (
            f"It is healthy by these cuts: at most {MOST_DEAD:.0%} dead, at least "
            f"{LEAST_EXPLAINED:.0%} of the variance explained and {LEAST_RECOVERED:.0%} of the "
            "loss recovered. That its features mean something is not shown by that."
        )

    def table(self) -> Rows:
        """A row a number, with its unit."""
        return [
            {"number": name, "value": float(value), "unit": unit}
            for name, value, unit in (
                ("L0", self.l0, "features a token"),
                ("dead", self.dead, "share of features"),
                ("variance explained", self.explained, "share"),
                ("cosine", self.cosine, ""),
                ("loss, clean", self.clean_loss, "nats a token"),
                ("loss, spliced", self.spliced_loss, "nats a token"),
                ("loss, zero there", self.zero_loss, "nats a token"),
                ("loss recovered", self.recovered, "share"),
                ("KL(clean ‖ spliced)", self.kl, "nats a token"),
                ("tokens", float(self.n_tokens), ""),
            )
        ]

    def figure(self) -> go.Figure:
        """How many features are on at which share of tokens, on a scale of logarithms; the dead are
        the bar at the left."""
        import plotly.graph_objects as go

        least = np.log10(1 / max(self.n_tokens, 1))
        alive = np.log10(self.density[self.density > 0])
        counts, edges = np.histogram(alive, bins=_BARS, range=(least, 0.0))
        middle, n_dead = (edges[1:] + edges[:-1]) / 2, int((self.density == 0).sum())
        width, dead_at = float(edges[1] - edges[0]), least - 0.35
        figure = go.Figure()
        for x, y, name, colour, bar in (
            (middle, counts, "alive", PALETTE["mlp"], width),
            ([dead_at], [n_dead], "dead", PALETTE["control"], 0.2),
        ):
            told = "about 1 token in %{customdata:,.0f}: %{y} features<extra></extra>"
            figure.add_trace(
                go.Bar(
                    x=x, y=y, name=name, marker={"color": colour}, width=bar,
                    customdata=1 / 10 ** np.asarray(x),
                    hovertemplate="%{y} are on nowhere<extra></extra>" if name == "dead" else told,
                )
            )  # fmt: skip
        ticks = [t for t in range(int(np.ceil(least)), 1)]
        layout = chart_layout(None, 240, showlegend=False) | {"bargap": 0}
        return figure.update_layout(
            **layout,
            xaxis={
                "title": {"text": "share of tokens at which a feature is on"},
                "tickvals": [dead_at, *ticks],
                "ticktext": ["dead", *(f"{10.0**t:g}" for t in ticks)],
            },
            yaxis={"title": {"text": "features"}},
        )
