"""The lens as people read it: figures, the plain table of notes, the CSV. No torch."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np

from .errors import ExperimentError
from .results import Lens, LensRun

if TYPE_CHECKING:
    import plotly.graph_objects as go

MEASURES = {
    "probability": "probability of the first token",
    "entropy": "entropy, nats",
    "rank": "rank of the answer",
    "divergence": "KL(output ‖ lens), nats",
}
RUNS = ("clean", "ablated", "difference")
_ONE_WAY = [[0, "rgba(79,70,229,0.04)"], [1, "rgba(79,70,229,0.85)"]]
_BOTH_WAYS = [
    [0, "rgba(220,68,55,0.9)"],
    [0.5, "rgba(128,128,128,0.06)"],
    [1, "rgba(37,99,235,0.9)"],
]


def draw_lens(lens: Lens, run: str = "clean", by: str = "probability") -> go.Figure:
    """Layers up, positions across: each cell its first token, coloured by a measure.

    `run` "difference" shows the ablated run's tokens, coloured by ablated − clean. Ranks are
    coloured by their logarithm, base 10.
    Raises: ExperimentError for a run or a measure there is not, or a rank without an answer.
    """
    import plotly.graph_objects as go

    if run not in RUNS or by not in MEASURES:
        raise ExperimentError(f"The lens shows {', '.join(RUNS)} by {', '.join(MEASURES)}.")
    shown = lens.clean if run == "clean" else lens.ablated
    value = measured(shown, by)
    if run == "difference":
        value = value - measured(lens.clean, by)
    most = float(np.nanmax(np.abs(value))) if value.size else 1.0
    n_layers, n = value.shape
    figure = go.Figure(
        go.Heatmap(
            z=value,
            x=list(range(n)),
            y=list(range(n_layers)),
            text=_first_tokens(lens, shown),
            texttemplate="%{text}" if n <= 40 else None,
            textfont={"size": 11, "family": "monospace"},
            customdata=_told(lens, shown),
            hovertemplate="%{customdata}<extra></extra>",
            colorscale=_BOTH_WAYS if run == "difference" else _ONE_WAY,
            zmin=-most if run == "difference" else 0,
            zmax=max(most, 1e-9) if run == "difference" or by != "probability" else 1,
            reversescale=by != "probability" and run != "difference",
            xgap=1,
            ygap=1,
            colorbar={
                "title": {"text": _label(by, run), "side": "right"},
                "thickness": 12,
                "outlinewidth": 0,
            },
        )
    )
    figure.update_layout(
        height=110 + 26 * n_layers,
        margin={"l": 50, "r": 10, "t": 10, "b": 70},
        xaxis={
            "tickvals": list(range(n)),
            "ticktext": [_mark(p) for p in lens.pieces],
            "tickfont": {"family": "monospace", "size": 11},
            "showgrid": False,
            "tickangle": -35 if n > 12 else 0,
        },
        yaxis={
            "title": {"text": "after layer"},
            "dtick": max(1, n_layers // 16),
            "showgrid": False,
        },
    )
    return figure


def draw_traces(lens: Lens) -> go.Figure:
    """Log-probability of answer and distractor at the last position, layer by layer, both runs."""
    import plotly.graph_objects as go

    figure = go.Figure()
    layers = list(range(lens.clean.entropy.shape[0]))
    for who, colour in (("answer", "#1a9f6a"), ("distractor", "#e8912d")):
        for run, dash in (("clean", "dot"), ("ablated", "solid")):
            trace = getattr(getattr(lens, run), who)
            if trace is not None:
                figure.add_scatter(
                    x=layers,
                    y=trace.log_probs[:, -1],
                    name=f"{_mark(trace.token)} {run}",
                    line={"color": colour, "dash": dash, "width": 2},
                    hovertemplate="layer %{x}: %{y:.2f} nats<extra>%{fullData.name}</extra>",
                )
    for run, dash in (("clean", "dot"), ("ablated", "solid")):
        at = getattr(lens, run).leads_from
        if at is not None:
            figure.add_vline(x=at, line={"color": "#1a9f6a", "dash": dash, "width": 1})
    figure.update_layout(
        height=300,
        margin={"l": 60, "r": 10, "t": 10, "b": 45},
        xaxis={"title": {"text": "after layer"}, "dtick": max(1, len(layers) // 16)},
        yaxis={"title": {"text": "log-probability, nats"}},
        legend={"orientation": "h", "y": 1.12},
    )
    return figure


def lens_table(lens: Lens, run: str = "clean", n: int = 5) -> str:
    """The lines people paste into their notes: each layer's n best tokens at the last position."""
    shown = lens.clean if run == "clean" else lens.ablated
    rows = []
    for layer in range(len(shown.ids)):
        best = zip(shown.ids[layer, -1, :n], shown.probs[layer, -1, :n], strict=True)
        rows.append([str(layer), *(f"{_mark(lens.texts[int(i)])} {100 * p:.1f}%" for i, p in best)])
    rows.insert(0, ["layer", *(str(i + 1) for i in range(len(rows[0]) - 1))])
    widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def lens_csv(lens: Lens) -> str:
    """Every cell of both runs as CSV, a line a token shown."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    write("run layer position prompt_token place id token prob log_prob move entropy_nats "
          "kl_output_lens_nats".split())  # fmt: skip
    for name, run in (("clean", lens.clean), ("ablated", lens.ablated)):
        for layer, pos, place in np.ndindex(run.ids.shape):
            i = int(run.ids[layer, pos, place])
            write([
                name, layer, pos, lens.pieces[pos], place + 1, i, lens.texts[i],
                f"{run.probs[layer, pos, place]:.6g}", f"{run.log_probs[layer, pos, place]:.5f}",
                int(run.moves[layer, pos, place]), f"{run.entropy[layer, pos]:.5f}",
                f"{run.divergence[layer, pos]:.5f}",
            ])  # fmt: skip
    return out.getvalue()


def measured(run: LensRun, by: str) -> np.ndarray:
    """A measure of every cell, [layer pos]; the rank of the answer as its logarithm, base 10."""
    match by:
        case "probability":
            return run.probs[:, :, 0]
        case "entropy":
            return run.entropy
        case "divergence":
            return run.divergence
    if run.answer is None:
        raise ExperimentError("There is no answer whose rank could be shown; give one.")
    return np.log10(run.answer.ranks)


def _label(by: str, run: str) -> str:
    name = "log₁₀ rank of the answer" if by == "rank" else MEASURES[by]
    return f"{name}, ablated − clean" if run == "difference" else name


def _first_tokens(lens: Lens, run: LensRun) -> list[list[str]]:
    return [[_short(lens.texts[int(cell[0])]) for cell in row] for row in run.ids]


def _told(lens: Lens, run: LensRun) -> list[list[str]]:
    """What hovering tells: the k best tokens, their probabilities and moves."""
    rows = []
    for layer in range(run.ids.shape[0]):
        row = []
        for pos in range(run.ids.shape[1]):
            lines = [f"after layer {layer}, at {_safe(lens.pieces[pos])} ({pos})"]
            for i, p, move in zip(
                run.ids[layer, pos], run.probs[layer, pos], run.moves[layer, pos], strict=True
            ):
                way = "" if move == 0 else f"  {'▲' if move > 0 else '▼'}{abs(int(move)):,}"
                lines.append(f"{_safe(lens.texts[int(i)])}  {100 * p:.2f}%{way}")
            lines.append(f"entropy {run.entropy[layer, pos]:.2f} nats")
            row.append("<br>".join(lines))
        rows.append(row)
    return rows


def _mark(text: str) -> str:
    """White space to be seen, and no markup for plotly to read."""
    shown = text.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
    return "".join(c if c.isprintable() else f"⟨{ord(c):04X}⟩" for c in shown)


def _safe(text: str) -> str:
    return _mark(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _short(text: str) -> str:
    shown = _mark(text)
    return _safe(text) if len(shown) <= 8 else _safe(shown[:7]) + "…"
