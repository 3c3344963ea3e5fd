"""The logit lens as plotly figures: the grid of layers and positions, and tokens followed."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ..showing.palette import MORE, PALETTE, SIGNED, turned
from ..showing.writing import percent, visible
from .results import Lens, LensRun

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


def draw_lens(lens: Lens, run: str = "clean", measure: str = "prob") -> go.Figure:
    """Layers down, positions across; the best token in each cell, bold where it is the answer.

    `run`: "clean", "ablated" or "difference" (coloured by ablated − clean; a token is written where
    the ablated run has another). Both runs are coloured on one scale.
    """
    import plotly.graph_objects as go

    values = lens.values(run, measure).astype(float)
    n_layers, n = values.shape
    written = n <= MOST_WRITTEN
    wide, high = (max(68, min(110, 780 // n)), 26) if written else (15, 17)
    positions = range(lens.first, lens.first + n)
    rows = max(n_layers, _LEAST_ROWS)
    figure = go.Figure(
        go.Heatmap(
            z=_shade(values, run, measure),
            x=list(positions),
            y=list(range(n_layers)),
            text=_best_texts(lens, run) if written else None,
            texttemplate="%{text}" if written else None,
            textfont={"size": 11},
            customdata=_told(lens, run, few=n * n_layers > 2_000),
            hovertemplate="%{customdata}<extra></extra>",
            hoverlabel={"align": "left"},
            xgap=1,
            ygap=1,
            **_scale(lens, run, measure),
        )
    )
    figure.update_layout(
        autosize=False,
        width=wide * n + 140,
        height=high * rows + (60 if written else 100),
        margin={"l": 10, "r": 130, "t": 10, "b": 50 if written else 90},
        xaxis={
            "tickvals": list(positions),
            "ticktext": [_short(escape(visible(_read(lens, at)))) for at in positions],
            "tickangle": 0 if written else -90,
            "title": {"text": "reading", "standoff": 8},
            "ticklen": 0,
            "showgrid": False,
            "zeroline": False,
        },
        yaxis={
            "title": {"text": "after layer", "standoff": 6},
            "ticklen": 0,
            "range": [rows - 0.5, -0.5],
            "side": "right",
            "tickvals": list(range(n_layers)),
            "ticktext": list(map(str, lens.layers)),
            "showgrid": False,
            "zeroline": False,
        },
    )
    return figure


def draw_traces(
    lens: Lens, quantity: str = "log_probs", runs: tuple[str, ...] = ("clean",)
) -> go.Figure:
    """Answer and distractor at the last position, layer by layer; ablated runs are dashed.

    A vertical line stands where the answer first leads the whole vocabulary.
    """
    import plotly.graph_objects as go

    figure = go.Figure()
    for run in runs:
        shown: LensRun = getattr(lens, run)
        for name in ("answer", "distractor"):
            trace = getattr(shown, name)
            if trace is None:
                continue
            y = getattr(trace, quantity)[:, -1]
            told = [
                f"{name} {escape(visible(trace.text))}, {run}, layer {layer}<br>"
                f"log-probability {lp:.3f} ({percent(float(np.exp(lp)))}), logit {logit:.3f}, "
                f"rank {rank:,}"
                for layer, lp, logit, rank in zip(
                    lens.layers,
                    trace.log_probs[:, -1],
                    trace.logits[:, -1],
                    trace.ranks[:, -1],
                    strict=True,
                )
            ]
            figure.add_scatter(
                x=list(lens.layers),
                y=y.tolist(),
                name=f"{name} {escape(visible(trace.text))}, {run}",
                mode="lines+markers",
                line={
                    "color": PALETTE[name],
                    "dash": "solid" if run == "clean" else "dash",
                    "width": 2,
                },
                marker={"size": 5},
                customdata=told,
                hovertemplate="%{customdata}<extra></extra>",
            )
        if shown.leads_from is not None:
            figure.add_vline(
                x=shown.leads_from,
                line={
                    "color": PALETTE["answer"],
                    "width": 1,
                    "dash": "solid" if run == "clean" else "dash",
                },
                opacity=0.6,
            )
    figure.update_layout(
        height=330,
        width=760,
        margin={"l": 60, "r": 10, "t": 10, "b": 45},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={"title": {"text": "after layer"}, "dtick": max(1, len(lens.clean.entropy) // 12)},
        yaxis={
            "title": {"text": TRACES[quantity]},
            **({"type": "log", "autorange": "reversed"} if quantity == "ranks" else {}),
        },
    )
    return figure


def _read(lens: Lens, position: int) -> str:
    """The text of the token at a position; its piece where it stands after the prompt."""
    texts = lens.tokens.texts
    return texts[position] if position < len(texts) else lens.pieces[position]


def _short(text: str, most: int = 9) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _best_texts(lens: Lens, run: str) -> np.ndarray:
    """What is written in each cell."""
    clean, ablated = lens.clean.ids[..., 0], lens.ablated.ids[..., 0]
    ids = clean if run == "clean" else ablated
    trace = getattr(lens, "clean" if run == "clean" else "ablated").answer
    texts = np.empty(ids.shape, dtype=object)
    for at in np.ndindex(ids.shape):
        text = escape(_short(lens.token(int(ids[at]))))
        if trace is not None and trace.ranks[at] == 1:
            text = f"<b>{text}</b>"
        texts[at] = "" if run == "difference" and clean[at] == ablated[at] else text
    return texts


def _told(lens: Lens, run: str, few: bool) -> np.ndarray:
    """What a pointer over each cell reads."""
    told = np.empty(lens.clean.entropy.shape, dtype=object)
    runs = ("clean", "ablated") if run == "difference" else (run,)
    for row, column in np.ndindex(told.shape):
        position = lens.first + column
        lines = [
            f"after layer {lens.layers[row]}, reading {escape(visible(_read(lens, position)))} "
            f"(position {position})"
        ]
        for name in runs:
            shown: LensRun = getattr(lens, name)
            at = (row, column)
            lines.append(
                f"<b>{name}</b>: entropy {shown.entropy[at]:.2f} nats, divergence from the output "
                f"{shown.divergence[at]:.2f}"
                + ("" if shown.answer is None else f", answer ranks {shown.answer.ranks[at]:,}")
            )
            k = 2 if few else shown.ids.shape[-1]
            best = [_place(lens, shown, (row, column, place)) for place in range(k)]
            rows = max(1, min(5, k))
            lines += ["  ·  ".join(best[i::rows]) for i in range(rows)]
        told[row, column] = "<br>".join(lines)
    return told


def _place(lens: Lens, shown: LensRun, at: tuple[int, int, int]) -> str:
    """One of a cell's best tokens, with how far it rose since the layer above."""
    move = int(shown.moves[at])
    risen = "" if not move else f" {'▲' if move > 0 else '▼'}{abs(move):,}"
    token = escape(_short(lens.token(int(shown.ids[at])), 24))
    return f"{at[2] + 1}  {token}  {percent(float(shown.probs[at]))}{risen}"


def _shade(values: np.ndarray, run: str, measure: str) -> np.ndarray:
    """The numbers coloured: ranks by their logarithm."""
    if measure != "rank":
        return values
    return np.sign(values) * np.log10(1 + abs(values)) if run == "difference" else np.log10(values)


def _scale(lens: Lens, run: str, measure: str) -> dict[str, Any]:
    """The colours, where they end, and their legend."""
    signed = run == "difference"
    names = ("difference",) if signed else ("clean", "ablated")
    most = max(float(abs(_shade(lens.values(r, measure), r, measure)).max()) for r in names)
    if measure == "prob" and not signed:
        most = 1.0
    most = most or 1.0
    colours = SIGNED if signed else MORE
    if measure == "rank":  # the lower, the better
        colours = turned(colours)
    bar: dict[str, Any] = {
        "title": {
            "text": MEASURES[measure] + ("<br>ablated − clean" if signed else ""),
            "side": "right",
        },
        "thickness": 12,
        "x": 1,
        "xpad": 45,
    }
    if measure == "rank":
        tens = range(1 if signed else 0, int(most) + 1)
        bar["tickvals"] = _shade(np.array([10.0**t for t in tens]), run, measure).tolist()
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
