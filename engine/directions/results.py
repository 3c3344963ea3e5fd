"""What is known of a direction on a model."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..experiment.direction import Direction
from ..showing.charts import TOLD, chart_layout
from ..showing.palette import PALETTE
from ..showing.writing import Rows

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class DirectionValues:
    """A direction as it is on a model.

    `values`: its numbers, float32, in the unit of the stream. `norm`: their L2 norm, from 0.
    `stream_norm`: the median L2 norm of what is at its site, over the tokens of the prompts it is
    made of, else of the experiment's prompt, a BOS left out; NaN where there are neither.
    `cosines`: with each of `others`, −1 to 1, NaN where one of the two is 0; `other_norms` are
    theirs. Directions of different sites are compared as the vectors they are.
    What none of these shows is whether the model uses the direction.
    """

    model: str
    direction: Direction
    values: Float[np.ndarray, " d_model"]
    stream_norm: float
    others: tuple[Direction, ...]
    other_norms: Float[np.ndarray, " others"]
    cosines: Float[np.ndarray, " others"]

    @property
    def norm(self) -> float:
        """Its L2 norm, that of `add(…, 1)`."""
        return float(np.linalg.norm(self.values.astype(np.float64)))

    @property
    def share(self) -> float:
        """Its norm as a part of the stream's: 1 is as long as what it is added to."""
        return self.norm / self.stream_norm if self.stream_norm > 0 else float("nan")

    def table(self) -> Rows:
        """A row for it, and one for each other: site, norm, and cosine with it."""
        every = [(self.direction, self.norm, 1.0 if self.norm > 0 else float("nan"))]
        every += zip(
            self.others, map(float, self.other_norms), map(float, self.cosines), strict=True
        )
        return [
            {
                "direction": one.name,
                "site": str(one.site),
                "made of": one.made.tag,
                "norm": norm,
                "cosine": cosine,
                **({"stream_norm": self.stream_norm} if one is self.direction else {}),
            }
            for one, norm, cosine in every
        ]

    def figure(self) -> go.Figure:
        """A bar for each other direction: its cosine with this one, −1 to 1."""
        import plotly.graph_objects as go

        names = [one.name for one in self.others]
        colours = [PALETTE["less" if value < 0 else "more"] for value in self.cosines]
        bars = go.Bar(
            x=[None if np.isnan(value) else float(value) for value in self.cosines],
            y=names,
            orientation="h",
            marker={"color": colours},
            customdata=[
                f"<b>{escape(one.name)}</b> ({one.site}): cosine {value:+.3f}, norm {norm:.3g}"
                for one, value, norm in zip(
                    self.others, self.cosines, self.other_norms, strict=True
                )
            ],
            hovertemplate=TOLD,
        )
        layout = chart_layout(None, 26 * max(len(names), 2) + 80, left=120)
        return go.Figure(bars, layout).update_layout(
            xaxis={
                "range": [-1.02, 1.02],
                "title": {"text": f"cosine with {self.direction.name}"},
                "zeroline": True,
            },
            yaxis={"autorange": "reversed", "ticklen": 0, "showgrid": False},
        )
