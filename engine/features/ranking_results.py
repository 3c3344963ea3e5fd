"""What is known of features' effects on the answer: estimates, exact ones of the first, the error's
beside them, and those of random features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..experiment.experiment import Experiment
from ..experiment.results import Snapshot
from ..experiment.sae import Sae
from ..experiment.sites import Feature
from ..scoring.metrics import METRIC_NAMES
from ..showing.charts import TOLD, chart_layout
from ..showing.palette import PALETTE
from ..showing.writing import Rows, signed
from ..sweeps.estimates import Agreement, agreement_of, mean_of
from ..tasks.pairs import Pair

if TYPE_CHECKING:
    import plotly.graph_objects as go

ERROR = "error"
_MOST_BARS = 40


@dataclass(frozen=True)
class FeatureRanking(Snapshot):
    """What switching each feature of an SAE off alone does to `metric`, without it − baseline:
    logits for "logit_diff", nats for "log_prob"; below 0 the feature helps the answer. The SAE's
    error stays as it is.

    `estimate`, `spread` [feature]: −activation × gradient along its direction, mean over prompts
    and standard deviation; 0 where it is never on, NaN until estimated. `share` [feature]: of the
    prompts, in how many it is on at a position that is changed. `error_estimate` [prompt]: likewise
    of the error. `features`: those measured, by the size of their estimates; `random`: as many
    others as were drawn, of those on in some prompt. `at` [measured]: their positions, as texts.
    `measured` [prompt node]: the exact effects of `features`, then of the error gone, of all
    features gone at once, and of `random`; NaN where not known yet. `clean`, `given` [prompt]: the
    metric of the clean run, and of the baseline.

    What it does not show: features that act together or stand in for each other, and of those whose
    estimate is small, whether it should have been greater.
    """

    experiment: Experiment
    sae: Sae
    pairs: tuple[Pair, ...]
    asked: tuple[int, int, int]
    metric: str
    estimate: Float[np.ndarray, " feature"]
    spread: Float[np.ndarray, " feature"]
    share: Float[np.ndarray, " feature"]
    error_estimate: Float[np.ndarray, " prompt"]
    features: tuple[Feature, ...]
    random: tuple[Feature, ...]
    at: tuple[str, ...]
    measured: Float[np.ndarray, "prompt node"]
    clean: Float[np.ndarray, " prompt"]
    given: Float[np.ndarray, " prompt"]
    notes: tuple[str, ...]
    seconds_left: float | None

    @property
    def n_active(self) -> int:
        """How many features are on in some prompt, at a position that is changed."""
        return int((self.share > 0).sum())

    @property
    def n_exact(self) -> int:
        """How many of `features` are known exactly, on every prompt."""
        return int(np.isfinite(self.exact).all(0).sum())

    @property
    def exact(self) -> Float[np.ndarray, "prompt ranked"]:
        """The effects of `features`."""
        return self.measured[:, : len(self.features)]

    @property
    def effects(self) -> Float[np.ndarray, " ranked"]:
        """Their means over prompts; NaN until known on all."""
        return _means(self.exact)

    @property
    def error(self) -> Float[np.ndarray, " prompt"]:
        """The effect of the error gone: what the SAE makes of the activation in its place."""
        return self.measured[:, len(self.features)]

    @property
    def spliced(self) -> Float[np.ndarray, " prompt"]:
        """The metric with what the SAE makes of the activation in its place."""
        return self.given + self.error

    @property
    def emptied(self) -> Float[np.ndarray, " prompt"]:
        """The metric with all features 0 and the error kept."""
        return self.given + self.measured[:, len(self.features) + 1]

    @property
    def random_effects(self) -> Float[np.ndarray, " drawn"]:
        """The mean effects of the random features; NaN until known on all prompts."""
        return _means(self.measured[:, len(self.features) + 2 :])

    @property
    def band(self) -> tuple[float, float] | None:
        """The least and the greatest mean effect of the random features known; None of none."""
        known = self.random_effects[np.isfinite(self.random_effects)]
        return (float(known.min()), float(known.max())) if len(known) else None

    @property
    def agreement(self) -> Agreement:
        """How well estimates predicted the exact effects of `features` and of those drawn."""
        both = (*self.features, *self.random)
        exact = np.concatenate([self.effects, self.random_effects])
        return agreement_of(np.array([self.estimate[f.index] for f in both]), exact)

    @property
    def order(self) -> tuple[Feature, ...]:
        """All features that are on anywhere, greatest effect by size first: those measured by the
        exact one, the others behind them by the estimate."""
        sizes = np.abs(np.nan_to_num(self.effects))
        first = [self.features[i] for i in np.argsort(-sizes, kind="stable").tolist()]
        return (*first, *(f for f in self.by_estimate() if f not in {*first}))

    def by_estimate(self) -> tuple[Feature, ...]:
        """All features that are on anywhere, by the size of their estimates."""
        on = np.flatnonzero(self.share > 0)
        order = np.argsort(-np.abs(np.nan_to_num(self.estimate[on])), kind="stable")
        return tuple(self.sae.feature(i) for i in on[order].tolist())

    def table(self, most: int | None = None) -> Rows:
        """A row a node: those measured and the error, by the size of the exact effect, then the
        random features, then `most` others by the estimate (None: all that are on). `rank` is of
        the first kind; `exact` is empty where it is not known."""
        stds = self.measured.std(0).tolist()
        n, error = len(self.features), float(self.error_estimate.std())
        rows: Rows = [
            self._row("measured", one, self.effects[i], stds[i], self.at[i])
            for i, one in enumerate(self.features)
        ]
        own = self._row("error", None, float(_means(self.error[:, None])[0]), stds[n], "")
        own |= {
            "estimate": _written(float(self.error_estimate.mean())),
            "estimate_std": _written(error),
        }
        rows.append(own)
        rows.sort(key=lambda row: -abs(float(str(row["exact"] or 0.0))))
        for rank, row in enumerate(rows, 1):
            row["rank"] = rank
        told = {*self.features, *self.random}
        rows += [
            self._row("random", one, self.random_effects[i], stds[n + 2 + i], "")
            for i, one in enumerate(self.random)
        ]
        rest = [one for one in self.by_estimate() if one not in told]
        rows += [self._row("estimated", one, None, None, "") for one in rest[:most]]
        return rows

    def _row(
        self,
        kind: str,
        one: Feature | None,
        exact: float | None,
        std: float | None,
        at: str,
    ) -> dict[str, object]:
        i = None if one is None else one.index
        return {
            "node": ERROR if one is None else str(one),
            "kind": kind,
            "rank": "",
            "exact": _written(exact),
            "exact_std": _written(std),
            "estimate": "" if i is None else _written(float(self.estimate[i])),
            "estimate_std": "" if i is None else _written(float(self.spread[i])),
            "share_on": "" if i is None else float(self.share[i]),
            "at": at,
            "metric": self.metric,
            "n": len(self.pairs),
        }

    def figure(self) -> go.Figure:
        """A bar a node, the greatest effect first, with its standard deviation over prompts and a
        mark at the estimate; the grey band is the random features, least to greatest. Up to 40."""
        import plotly.graph_objects as go

        rows = [r for r in self.table(0) if r["rank"] and r["exact"] != ""][:_MOST_BARS]
        names = [str(row["node"]) for row in rows]
        x, std, guess = (
            [float(str(row[c])) for row in rows] for c in ("exact", "exact_std", "estimate")
        )
        told = [
            f"<b>{row['node']}</b> {signed(x[i])} ± {std[i]:.2f}, estimate {signed(guess[i])}"
            + (f"<br>on in {row['share_on']:.0%} of prompts" if row["at"] else "")
            for i, row in enumerate(rows)
        ]
        figure = go.Figure()
        for name, colour, own in (
            ("features", PALETTE["mlp"], [i for i, n in enumerate(names) if n != ERROR]),
            ("the SAE's error", PALETTE["ablated"], [i for i, n in enumerate(names) if n == ERROR]),
        ):
            figure.add_bar(
                x=[x[i] for i in own], y=[names[i] for i in own], orientation="h", name=name,
                marker={"color": colour}, customdata=[told[i] for i in own], hovertemplate=TOLD,
                error_x={
                    "array": [std[i] for i in own], "visible": len(self.pairs) > 1,
                    "color": PALETTE["control"], "thickness": 1, "width": 3,
                },
            )  # fmt: skip
        figure.add_scatter(
            x=guess, y=names, mode="markers", name="estimate", hoverinfo="skip",
            marker={
                "symbol": "line-ns", "size": 12, "line": {"width": 2.5, "color": PALETTE["clean"]}
            },
        )  # fmt: skip
        if self.band is not None:
            figure.add_vrect(*self.band, fillcolor=PALETTE["gone"], line_width=0, layer="below")
            n = int(np.isfinite(self.random_effects).sum())
            figure.add_bar(
                x=[None], y=[None], name=f"{n} random features", marker={"color": PALETTE["tried"]}
            )
        return figure.update_layout(
            **chart_layout(None, 22 * max(len(rows), 6) + 110, left=75, showlegend=True),
            barmode="overlay",
            bargap=0.3,
            xaxis={
                "title": {"text": f"change of {METRIC_NAMES[self.metric]}, without − with"},
                "zeroline": True,
                "zerolinewidth": 1,
            },
            yaxis={
                "categoryorder": "array",
                "categoryarray": names[::-1],
                "tickvals": names,
                "showgrid": False,
            },
        )


def _means(values: np.ndarray) -> np.ndarray:
    """Means over prompts; NaN where a prompt's is not known."""
    return np.where(np.isfinite(values).all(0), mean_of(values), np.nan)


def _written(value: float | None) -> object:
    return "" if value is None or not np.isfinite(value) else float(value)
