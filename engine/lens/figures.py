"""The logit lens as plotly figures: the grid of layers and positions, and tokens followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ..showing.charts import BARE, chart_layout, line
from ..showing.heatmap import cell_heatmap, colour_bar, signs
from ..showing.palette import MORE, PALETTE, SIGNED, turned
from ..showing.writing import percent, visible
from .runs import LensRun

if TYPE_CHECKING:
    import plotly.graph_objects as go

MEASURES = {
    "prob": "probability",
    "entropy": "entropy, nats",
    "rank": "answer's rank",
    "divergence": "divergence, nats",
}
"""What the grid's colours stand for: probability of the best token, entropy, rank of the answer,
divergence of the layer from the output. LensRun.values defines each."""
TRACES = {"log_probs": "log-probability", "logits": "logit", "ranks": "rank"}
"""What can be followed through the layers; Trace defines each."""
MOST_WRITTEN = 40
"""Positions whose tokens are written into the cells; with more, cells are small and coloured."""
_LEAST_ROWS = 5
"""Room for the legend, where fewer layers are read."""


@dataclass(frozen=True)
class LensGrid:
    """The lens as cells: layers down, positions across.

    `values` [layer pos] of one of MEASURES, with the sign of a difference where `signed`; `scaled`:
    all the numbers its colours are to span. `layers`: the rows. `reading`: the token read at each
    position. `texts` [layer pos]: what is written in the cells; `leads` [layer pos]: whether that
    is the answer. `told` [layer pos]: what a pointer reads, as lines.
    """

    values: np.ndarray
    measure: str
    signed: bool
    scaled: Sequence[np.ndarray]
    layers: Sequence[int]
    reading: Mapping[int, str]
    texts: np.ndarray
    leads: np.ndarray
    told: np.ndarray

    @property
    def name(self) -> str:
        """What the colours stand for, with its unit."""
        return MEASURES[self.measure] + (", ablated − clean" if self.signed else "")

    @property
    def shares(self) -> np.ndarray:
        """How strong the colour of each cell is, [layer pos]: 0 to 1, and where signed −1 to 1; of
        ranks the lower are the stronger."""
        most = _most(self.scaled, self.measure, self.signed)
        shares = _shade(self.values, self.measure, self.signed) / most
        if self.measure == "rank":
            shares = -shares if self.signed else 1 - shares
        return shares

    @property
    def signs(self) -> np.ndarray:
        """+ or − of a difference where its colour is strong, [layer pos], empty elsewhere."""
        if not self.signed:
            return np.full(self.values.shape, "", dtype=object)
        changes = _shade(self.values, self.measure, self.signed)
        return signs(changes, _most(self.scaled, self.measure, self.signed))

    @property
    def ends(self) -> tuple[str, str]:
        """The numbers at which the colours end: the palest, or the reddest, and the strongest."""
        most = _most(self.scaled, self.measure, self.signed)
        if self.measure == "rank":
            last = f"{10**most - 1 if self.signed else 10**most:,.0f}"
            return (f"+{last}", f"−{last}") if self.signed else (last, "1")
        return (f"−{most:.3g}", f"+{most:.3g}") if self.signed else ("0", f"{most:.3g}")

    def figure(self) -> go.Figure:
        """The grid as a heatmap; with more than MOST_WRITTEN positions, of small cells without
        texts."""
        import plotly.graph_objects as go

        n_layers, n = self.values.shape
        written = n <= MOST_WRITTEN
        wide, high = (max(68, min(110, 780 // n)), 26) if written else (15, 17)
        positions = list(self.reading)
        rows = max(n_layers, _LEAST_ROWS)
        figure = go.Figure(
            cell_heatmap(
                _shade(self.values, self.measure, self.signed),
                _each(lambda lines: "<br>".join(map(escape, lines)), self.told),
                x=positions,
                text=self._bold() if written else self.signs,
                texttemplate="%{text}",
                textfont={"size": 11},
                hoverlabel={"align": "left"},
                **_scale(self.scaled, self.measure, self.signed),
            )
        )
        figure.update_layout(
            autosize=False,
            width=wide * n + 140,
            height=high * rows + (60 if written else 100),
            margin={"l": 10, "r": 130, "t": 10, "b": 50 if written else 90},
            xaxis={
                "tickvals": positions,
                "ticktext": [short(escape(text)) for text in self.reading.values()],
                "tickangle": 0 if written else -90,
                "title": {"text": "reading", "standoff": 8},
                **BARE,
            },
            yaxis={
                "title": {"text": "after layer", "standoff": 6},
                "range": [rows - 0.5, -0.5],
                "side": "right",
                "tickvals": list(range(n_layers)),
                "ticktext": list(map(str, self.layers)),
                **BARE,
            },
        )
        return figure

    def _bold(self) -> np.ndarray:
        texts = _each(escape, self.texts)
        texts[self.leads] = [f"<b>{text}</b>" if text else "" for text in texts[self.leads]]
        gaps = np.where((self.signs != "") & (texts != ""), " ", "")
        written: np.ndarray = self.signs.astype(object) + gaps + texts
        return written


def traces_figure(layers: Sequence[int], runs: Mapping[str, LensRun], quantity: str) -> go.Figure:
    """Answer and distractor at the last position, layer by layer; runs but the clean are dashed.

    A vertical line stands where the answer first leads the whole vocabulary.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for run, shown in runs.items():
        dash = "solid" if run == "clean" else "dash"
        for name in ("answer", "distractor"):
            trace = getattr(shown, name)
            if trace is None:
                continue
            y = getattr(trace, quantity)[:, -1]
            hover = [
                f"{name} {escape(visible(trace.text))}, {run}, layer {layer}<br>"
                f"log-probability {lp:.3f} ({percent(float(np.exp(lp)))}), logit {logit:.3f}, "
                f"rank {rank:,}"
                for layer, lp, logit, rank in zip(
                    layers,
                    trace.log_probs[:, -1],
                    trace.logits[:, -1],
                    trace.ranks[:, -1],
                    strict=True,
                )
            ]
            look = {"color": PALETTE[name], "dash": dash, "width": 2}
            named = f"{name} {escape(visible(trace.text))}, {run}"
            figure.add_scatter(**line([*layers], y.tolist(), hover, line=look, name=named))
        if shown.leads_from is not None:
            look = {"color": PALETTE["answer"], "width": 1, "dash": dash}
            figure.add_vline(x=shown.leads_from, line=look, opacity=0.6)
    ranked = {"type": "log", "autorange": "reversed"} if quantity == "ranks" else {}
    return figure.update_layout(
        **chart_layout(760, 330),
        xaxis={"title": {"text": "after layer"}, "dtick": max(1, len(layers) // 12)},
        yaxis={"title": {"text": TRACES[quantity]}, **ranked},
    )


def short(text: str, most: int = 9) -> str:
    """A text cut to that many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _each(write: Callable[[Any], str], cells: np.ndarray) -> np.ndarray:
    """Each of many cells as it is written."""
    written = np.empty(cells.shape, dtype=object)
    for at in np.ndindex(cells.shape):
        written[at] = write(cells[at])
    return written


def _most(scaled: Sequence[np.ndarray], measure: str, signed: bool) -> float:
    """Where the colours end, as they are shaded."""
    if measure == "prob" and not signed:
        return 1.0
    return max(float(abs(_shade(values, measure, signed)).max()) for values in scaled) or 1.0


def _shade(values: np.ndarray, measure: str, signed: bool) -> np.ndarray:
    """The numbers coloured: ranks by their logarithm."""
    if measure != "rank":
        return values
    return np.sign(values) * np.log10(1 + abs(values)) if signed else np.log10(values)


def _scale(scaled: Sequence[np.ndarray], measure: str, signed: bool) -> dict[str, Any]:
    """The colours, where they end, and their legend."""
    most = _most(scaled, measure, signed)
    colours = SIGNED if signed else MORE
    if measure == "rank":  # the lower, the better
        colours = turned(colours)
    name = MEASURES[measure] + ("\nablated − clean" if signed else "")
    bar = colour_bar(name, x=1, xpad=45)
    if measure == "rank":
        tens = range(1 if signed else 0, int(most) + 1)
        bar["tickvals"] = _shade(np.array([10.0**t for t in tens]), measure, signed).tolist()
        bar["ticktext"] = [f"{10**t:,}" for t in tens]
        if signed:
            bar["tickvals"] += [0.0, *(-t for t in bar["tickvals"])]
            bar["ticktext"] = (
                [f"+{t}" for t in bar["ticktext"]] + ["0"] + [f"−{t}" for t in bar["ticktext"]]
            )
    return {
        "colorscale": colours,
        "zmin": -most if signed else 0,
        "zmax": most,
        "colorbar": bar,
    }
