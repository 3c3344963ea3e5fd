"""What is known of the best coefficient of a direction: all that were tried, and which is it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..experiment.change import Change
from ..showing.writing import Rows
from .figures import curve_figure
from .results import SteeringResult

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class BestSteering:
    """The coefficient of a direction at one layer with the greatest change of the wanted answer's
    score, of those tried whose KL on neutral text is at most `most_kl`, nats a token.

    `tried`: every coefficient tried, as a SteeringResult of that layer alone; random directions
    only at some of them, the best among these.
    """

    tried: SteeringResult
    layer: int
    most_kl: float

    @property
    def done(self) -> bool:
        """Whether the search is over."""
        return self.tried.done

    @property
    def progress(self) -> float:
        """How far it is, 0 to 1."""
        return self.tried.progress

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes if it goes on like this."""
        return self.tried.seconds_left

    @property
    def coefficient(self) -> float:
        """The best of those tried; 0 where none within the limit moves the answer the wanted
        way."""
        best = self.tried.best(self.most_kl)
        return 0.0 if best is None else best[1]

    @property
    def change(self) -> Change:
        """This addition as a change of an experiment that has the direction."""
        return self.tried.change_of(self.layer, self.coefficient)

    def row(self) -> dict[str, object]:
        """The row of `table` that the best coefficient has."""
        return next(row for row in self.table() if row["coefficient"] == self.coefficient)

    def table(self) -> Rows:
        """A row for each coefficient tried, as `SteeringResult.table` has them."""
        return self.tried.table()

    def figure(self) -> go.Figure:
        """Coefficients tried across: the change of the score, and the KL on neutral text with its
        limit, each with the band of the random directions; a line at the best."""
        tried = self.tried
        return curve_figure(
            tried.coefficients, tried.of("change")[:, 0], tried.of("kl")[:, 0],
            (tried.name, tried.unit, "KL, nats a token"), self.most_kl, self.coefficient,
        )  # fmt: skip
