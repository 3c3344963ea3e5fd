"""How much of the answer the features of an SAE carry: a curve over the first of them, 1 to all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from ..experiment.experiment import Experiment
from ..experiment.method import Method
from ..experiment.results import Snapshot
from ..experiment.sae import Sae
from ..experiment.sites import Feature
from ..scoring.metrics import METRIC_NAMES
from ..showing.charts import TOLD, chart_layout, line
from ..showing.palette import PALETTE
from ..showing.writing import Rows, signed
from ..tasks.pairs import Pair

if TYPE_CHECKING:
    import plotly.graph_objects as go

SHARE = 0.8
"""The share of the answer by which a smallest circuit is named."""


@dataclass(frozen=True)
class FeatureCurve(Snapshot):
    """How much of the answer the first features of an order keep, as far as that is known.

    `order`: all features on in some prompt, the first first. `kept` [size pair]: the `metric`
    ("logit_diff" in logits, or "log_prob" in nats) with all features but the first `sizes` become
    what `others` says; `removed` [size pair]: with just these become so, the others as they are.
    `random` [draw size pair]: kept, of random orders. `whole`, `none` [pair]: of the baseline run,
    and with no feature kept. NaN where not known yet, and at sizes tried for the smallest circuit
    alone, of random orders. `asked`: `by`, `others`, `error`, `controls`, `seed`, and which came
    first. `becomes`: the method by which a change of an experiment does the same to features, over
    the prompts of all pairs as its `references` where that is a mean; None where none does, and
    `why` says for what reason.

    Shares are faithfulness, f = (m − none) / (whole − none) of means over pairs: 1 is all that the
    features carry, 0 none of it (Marks et al. 2024). Of the features removed the same is their
    *completeness*: near 0 where all that carries the answer is among them. What it does not show:
    what the error carries where it is kept, for then `none` has it too; and f is of means, in which
    pairs overdone make up for pairs lost.
    """

    experiment: Experiment
    sae: Sae
    pairs: tuple[Pair, ...]
    asked: tuple[str, str, str, int, int, tuple[Feature, ...]]
    metric: str
    order: tuple[Feature, ...]
    sizes: tuple[int, ...]
    whole: Float[np.ndarray, " pair"]
    none: Float[np.ndarray, " pair"]
    kept: Float[np.ndarray, "size pair"]
    removed: Float[np.ndarray, "size pair"]
    random: Float[np.ndarray, "draw size pair"]
    becomes: Method | None
    why: str
    notes: tuple[str, ...]
    seconds_left: float | None

    @property
    def n_known(self) -> int:
        """How many sizes are known, kept and removed."""
        both = np.isfinite(self.faithfulness) & np.isfinite(self.completeness)
        return int(both.sum())

    @property
    def faithfulness(self) -> Float[np.ndarray, " size"]:
        """f of the first features kept alone; NaN where not known."""
        return self._share(self.kept)

    @property
    def completeness(self) -> Float[np.ndarray, " size"]:
        """f without them: 0 where they are all there is."""
        return self._share(self.removed)

    @property
    def random_faithfulness(self) -> Float[np.ndarray, "draw size"]:
        """f of as many features of random orders."""
        return self._share(self.random)

    def _share(self, values: np.ndarray) -> np.ndarray:
        none, whole = self.none.mean(), self.whole.mean()
        return np.asarray((values.mean(-1) - none) / (whole - none))

    def smallest(self, share: float = SHARE) -> int | None:
        """The smallest size tried whose features keep this share; None where none known does.

        Of 80%, once all is known, no size below it keeps that much, where each feature more keeps
        more; where the curve goes up and down, a smaller one that was not tried may. Of another
        share it is of the sizes tried, and so of random orders.
        """
        return _first(self.sizes, self.faithfulness, share)

    def smallest_random(self, share: float = SHARE) -> int | None:
        """The smallest size tried at which random orders do so on average."""
        if not len(self.random):
            return None
        return _first(self.sizes, self.random_faithfulness.mean(0), share)

    def features(self, size: int) -> tuple[Feature, ...]:
        """The first features of the order."""
        return self.order[:size]

    def table(self) -> Rows:
        """A row a size: the mean metric and f of the features kept, with its standard deviation
        over pairs as a share, and of them removed; f of random orders: mean, least, greatest."""
        kept, removed, random = self.faithfulness, self.completeness, self.random_faithfulness
        gain = abs(float(self.whole.mean() - self.none.mean()))
        rows: Rows = []
        for i, size in enumerate(self.sizes):
            drawn = random[:, i][np.isfinite(random[:, i])]
            rows.append({
                "size": size, "of": len(self.order), "last": str(self.order[size - 1]),
                f"kept_{self.metric}": _written(self.kept[i].mean()),
                "faithfulness": _written(kept[i]), "spread": _written(self.kept[i].std() / gain),
                f"removed_{self.metric}": _written(self.removed[i].mean()),
                "completeness": _written(removed[i]),
                "random": _written(drawn.mean()) if len(drawn) else "",
                "random_least": _written(drawn.min()) if len(drawn) else "",
                "random_greatest": _written(drawn.max()) if len(drawn) else "",
                "draws": len(drawn), "n": len(self.pairs), "whole": _written(self.whole.mean()),
                "none": _written(self.none.mean()),
            })  # fmt: skip
        return rows

    def figure(self, share: float = SHARE) -> go.Figure:
        """How many features across, on a scale of logarithms, f up; the grey band is random orders,
        least to greatest, the dashed line in it their mean. A mark is at the smallest size that
        keeps the `share`."""
        import plotly.graph_objects as go

        figure = go.Figure()
        self._band(figure)
        for name, colour, values, raw in (
            ("kept alone", "clean", self.faithfulness, self.kept),
            ("switched off", "ablated", self.completeness, self.removed),
        ):
            told = [
                f"<b>{size:,} {'feature' if size == 1 else 'features'}</b> {name}<br>share "
                f"{values[i]:.3f}<br>{METRIC_NAMES[self.metric]} {signed(float(raw[i].mean()))}"
                for i, size in enumerate(self.sizes)
            ]
            style = {"color": PALETTE[colour], "width": 2}
            figure.add_scatter(
                **line(self.sizes, values.tolist(), told, line=style, name=name, connectgaps=False)
            )
        size = self.smallest(share)
        if size is not None:
            figure.add_vline(x=size, line={"color": PALETTE["answer"], "width": 1, "dash": "dash"})
            figure.add_annotation(
                x=float(np.log10(size)), y=1, yref="paper", yanchor="bottom", showarrow=False,
                text=f"{size:,}: at least {share:.0%}",
            )  # fmt: skip
        for y, dash in ((0.0, "dot"), (1.0, "dash")):
            figure.add_hline(y=y, line={"color": PALETTE["control"], "width": 1, "dash": dash})
        layout = chart_layout(None, 420, left=65, showlegend=True)
        layout["margin"] = {**layout["margin"], "t": 50}
        layout["legend"] = {**layout["legend"], "y": 1.09}
        ticks = [n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
                 if n < max(self.sizes) / 1.5]  # fmt: skip
        ticks.append(max(self.sizes))
        end = float(np.log10(max(self.sizes)))
        return figure.update_layout(
            **layout,
            xaxis={
                "type": "log",
                "tickvals": ticks,
                "ticktext": [f"{n:,}" for n in ticks],
                "range": [-0.05 * max(end, 0.3), 1.05 * max(end, 0.3)],
                "title": {"text": f"features, of {len(self.order):,} that are on"},
            },
            yaxis={"title": {"text": "share of what the features carry"}, "zeroline": False},
        )

    def _band(self, figure: go.Figure) -> None:
        f = self.random_faithfulness
        known = [i for i in range(len(self.sizes)) if len(f) and np.isfinite(f[:, i]).all()]
        if not known:
            return
        x, colour = [self.sizes[i] for i in known], PALETTE["control"]
        least, greatest, mean = (
            of(f[:, known], axis=0).tolist() for of in (np.min, np.max, np.mean)
        )
        edge = {"mode": "lines", "line": {"width": 0, "color": colour}, "hoverinfo": "skip"}
        figure.add_scatter(x=x, y=least, showlegend=False, legendgroup="random", **edge)
        figure.add_scatter(
            x=x, y=greatest, fill="tonexty", fillcolor=PALETTE["gone"], showlegend=False,
            legendgroup="random", **edge,
        )  # fmt: skip
        figure.add_scatter(
            x=x, y=mean, mode="lines", line={"color": colour, "width": 1.5, "dash": "dash"},
            customdata=[
                f"{len(f)} random orders, {n:,} features kept<br>share {m:.3f} on average, "
                f"{a:.3f} to {b:.3f}"
                for n, m, a, b in zip(x, mean, least, greatest, strict=True)
            ],
            hovertemplate=TOLD, legendgroup="random", name=f"kept alone, {len(f)} random orders",
        )  # fmt: skip


def _first(sizes: tuple[int, ...], f: np.ndarray, share: float) -> int | None:
    return next((size for size, one in zip(sizes, f, strict=True) if one >= share), None)


def _written(value: float) -> object:
    return float(value) if np.isfinite(value) else ""
