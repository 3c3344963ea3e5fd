"""What is known of neurons' effects: an estimate for each, and the exact ones of the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..experiment.experiment import Experiment
from ..experiment.results import Snapshot
from ..experiment.sites import Neuron
from ..scoring.metrics import METRIC_NAMES
from ..showing.charts import TOLD, chart_layout
from ..showing.palette import PALETTE
from ..showing.writing import Rows, signed
from ..sweeps.estimates import Agreement, agreement_of, mean_of
from ..tasks.pairs import Pair

if TYPE_CHECKING:
    import plotly.graph_objects as go

_NAMED = 8


@dataclass(frozen=True)
class NeuronRanking(Snapshot):
    """What ablating each neuron alone does to `metric`, ablated − baseline: logits for
    "logit_diff", nats for "log_prob"; below 0 the neuron helps the answer.

    `estimate`, `spread` [layer neuron]: the mean over prompts of (v − activation) × gradient, and
    its standard deviation, in the order of `layers`; NaN until estimated. `neurons`: those with the
    greatest estimates, by size; `exact` [prompt neuron]: their effects, NaN where not known yet.
    `clean`, `given` [prompt]: the metric of the clean run, and of the baseline.
    """

    experiment: Experiment
    pairs: tuple[Pair, ...]
    layer: int | None
    asked_exact: int
    metric: str
    layers: tuple[int, ...]
    estimate: Float[np.ndarray, "layer neuron"]
    spread: Float[np.ndarray, "layer neuron"]
    neurons: tuple[Neuron, ...]
    exact: Float[np.ndarray, "prompt ranked"]
    clean: Float[np.ndarray, " prompt"]
    given: Float[np.ndarray, " prompt"]
    references: tuple[str, ...]
    notes: tuple[str, ...]
    seconds_left: float | None

    @property
    def n_neurons(self) -> int:
        """How many were estimated."""
        return self.estimate.size

    @property
    def n_exact(self) -> int:
        """How many are known exactly, on every prompt."""
        return int(np.isfinite(self.exact).all(0).sum())

    @property
    def effects(self) -> Float[np.ndarray, " ranked"]:
        """The mean exact effect of each of `neurons` over prompts; NaN until known on all."""
        known = np.isfinite(self.exact).all(0)
        return np.where(known, mean_of(self.exact), np.nan)

    @property
    def agreement(self) -> Agreement:
        """How well the estimates predicted the exact effects, over those that are known; these are
        the greatest estimates, so nothing is said of the others."""
        return agreement_of(np.array([self.estimated(n) for n in self.neurons]), self.effects)

    def estimated(self, neuron: Neuron) -> float:
        """The estimate of one neuron; NaN of a layer that was not ranked."""
        if neuron.layer not in self.layers:
            return float("nan")
        return float(self.estimate[self.layers.index(neuron.layer), neuron.index])

    def by_estimate(self, most: int) -> tuple[Neuron, ...]:
        """The neurons with the greatest estimates, by size; equal ones by layer and index."""
        sizes = np.abs(np.nan_to_num(self.estimate)).ravel()
        order = np.argsort(-sizes, kind="stable")[:most]
        rows, columns = np.unravel_index(order, self.estimate.shape)
        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
        return tuple(Neuron(self.layers[row], column) for row, column in pairs)

    def table(self, most: int | None = None) -> Rows:
        """A row a neuron, those measured first, by the size of the exact effect, then the others by
        that of the estimate; `most` of them. `exact` is empty where it is not known."""
        effects = dict(zip(self.neurons, self.effects.tolist(), strict=True))
        stds = self.exact.std(0).tolist() if self.exact.size else []
        spread = dict(zip(self.neurons, stds, strict=False))
        total = self.n_neurons if most is None else most
        order = sorted(self.neurons, key=lambda n: -abs(np.nan_to_num(effects[n])))
        rest = [n for n in self.by_estimate(total) if n not in effects] if total else []
        return [
            {
                "neuron": str(neuron),
                "exact": _written(effects.get(neuron)),
                "exact_std": _written(spread.get(neuron)),
                "estimate": _written(self.estimated(neuron)),
                "estimate_std": _written(
                    float(self.spread[self.layers.index(neuron.layer), neuron.index])
                ),
                "metric": self.metric,
                "n": len(self.pairs),
            }
            for neuron in [*order, *rest][:total]
        ]

    def figure(self) -> go.Figure:
        """A point for each neuron that is known exactly: the estimate across, the exact effect up;
        those farthest out have their names."""
        import plotly.graph_objects as go

        effects = self.effects
        known = [i for i in range(len(self.neurons)) if np.isfinite(effects[i])]
        x = [self.estimated(self.neurons[i]) for i in known]
        y = [float(effects[i]) for i in known]
        named = _apart(x, y)
        end = float(min(np.abs(x).max(initial=1e-9), np.abs(y).max(initial=1e-9)))
        name, zero = METRIC_NAMES[self.metric], {"zeroline": True, "zerolinewidth": 1}
        figure = go.Figure(
            go.Scatter(
                x=[-end, end], y=[-end, end], mode="lines", hoverinfo="skip", name="equal",
                line={"color": PALETTE["control"], "width": 1, "dash": "dash"},
            )
        )  # fmt: skip
        figure.add_scatter(
            x=x,
            y=y,
            mode="markers+text",
            name="neurons",
            text=[str(self.neurons[j]) if i in named else "" for i, j in enumerate(known)],
            textposition="top center",
            textfont={"size": 11},
            marker={"size": 9, "color": PALETTE["mlp"], "opacity": 0.85},
            customdata=[
                f"<b>{self.neurons[j]}</b> estimate {signed(x[i])}<br>exact {signed(y[i])}"
                for i, j in enumerate(known)
            ],
            hovertemplate=TOLD,
            cliponaxis=False,
        )
        return figure.update_layout(
            **chart_layout(None, 420, showlegend=True),
            xaxis={"title": {"text": f"estimated change of {name}"}, "automargin": True, **zero},
            yaxis={"title": {"text": f"exact change of {name}"}, "automargin": True, **zero},
        )


def _apart(x: list[float], y: list[float]) -> set[int]:
    """The points farthest out, as many as can be named without a name on another."""
    wide = max(np.ptp(x), 1e-9) if x else 1.0, max(np.ptp(y), 1e-9) if y else 1.0
    named: list[int] = []
    for i in sorted(range(len(x)), key=lambda i: -max(abs(x[i]), abs(y[i]))):
        near = [j for j in named if abs(x[i] - x[j]) < 0.09 * wide[0] and
                abs(y[i] - y[j]) < 0.06 * wide[1]]  # fmt: skip
        if not near and len(named) < _NAMED:
            named.append(i)
    return set(named)


def _written(value: float | None) -> object:
    return "" if value is None or not np.isfinite(value) else float(value)
