"""A sweep as plotly figures: layers down, heads across with the MLPs beside them; and positions."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ExperimentError
from ..experiment.sites import Head
from ..showing.palette import MORE, SIGNED, turned
from ..showing.writing import visible
from .results import ASPECTS, METRICS, SweepResult

if TYPE_CHECKING:
    import plotly.graph_objects as go

METRIC_NAMES = {
    "logit_diff": "logit difference",
    "prob": "probability",
    "log_prob": "log-probability",
    "rank": "answer's rank",
    "kl": "divergence, nats",
    "accuracy": "accuracy",
    "kept": "share of the score kept",
}
"""What each metric is called on an axis; METRICS defines it."""
_LEAST_ROWS = 6
"""Room for the legend, where a model has fewer layers."""
MOST_LINES = 20
"""Sites drawn position by position: those that change most."""
_LESS_IS_BETTER = ("rank", "kl")


def draw_sweep(
    sweep: SweepResult, metric: str | None = None, show: str = "change", position: int | None = None
) -> go.Figure:
    """Layers down, heads across, the MLP of each layer at the right; what is not known is blank.

    `metric`: one of METRICS, by itself the sweep's own. `show`: "change" (ablated − baseline; blue
    is up), "mean", "spread" over prompts, or "estimate". `position`: of a sweep position by
    position, the one shown (by its index in the prompt); None shows, for each site, the position
    where it changes most.
    Raises: ExperimentError for what the sweep does not have.
    """
    import plotly.graph_objects as go

    metric = _metric(sweep, metric, show)
    heads, mlps = (sweep_map(sweep, of, metric, show, position) for of in ("heads", "mlps"))
    n_layers, n_heads = heads.shape
    values = np.concatenate([heads, np.full((n_layers, 1), np.nan), mlps[:, None]], axis=1)
    columns = [*range(n_heads), None, "MLP"]
    size = max(14, min(34, 900 // (n_heads + 2)))
    rows = max(n_layers, _LEAST_ROWS)
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=list(range(n_heads + 2)),
            y=list(range(n_layers)),
            customdata=_told(sweep, metric, show, position, values.shape),
            hovertemplate="%{customdata}<extra></extra>",
            hoverongaps=False,
            xgap=1,
            ygap=1,
            **_scale(values, metric, show),
        )
    )
    ticks = [i for i in range(n_heads) if i % max(1, n_heads // 16) == 0] + [n_heads + 1]
    figure.update_layout(
        autosize=False,
        width=size * (n_heads + 2) + 190,
        height=size * rows + 70,
        margin={"l": 60, "r": 120, "t": 10, "b": 50},
        xaxis={
            "tickvals": ticks,
            "ticktext": [str(columns[i]) for i in ticks],
            "title": {"text": "head", "standoff": 8},
            "ticklen": 0,
            "showgrid": False,
            "zeroline": False,
        },
        yaxis={
            "title": {"text": "layer", "standoff": 6},
            "ticklen": 0,
            "range": [rows - 0.5, -0.5],
            "tickvals": list(range(0, n_layers, max(1, n_layers // 16))),
            "showgrid": False,
            "zeroline": False,
        },
    )
    return figure


def draw_sweep_positions(
    sweep: SweepResult, metric: str | None = None, show: str = "change", most: int = MOST_LINES
) -> go.Figure:
    """The sites that change most down, the prompt's positions across.

    Raises: ExperimentError for a sweep without a position axis.
    """
    import plotly.graph_objects as go

    if sweep.positions is None:
        raise ExperimentError("This sweep was not made position by position.")
    metric = _metric(sweep, metric, show)
    heads, mlps = (sweep.shown(of, metric, show) for of in ("heads", "mlps"))
    names = list(map(str, sweep.sites))
    values = np.array(
        [
            heads[:, site.layer, site.head] if isinstance(site, Head) else mlps[:, site.layer]
            for site in sweep.sites
        ]
    )
    height = np.nan_to_num(np.abs(values)).max(axis=1)
    order = np.argsort(-height, kind="stable")[:most]
    labels = [
        f"{p} {escape(visible(sweep.pieces[p]))}" if p < len(sweep.pieces) else str(p)
        for p in sweep.positions
    ]
    figure = go.Figure(
        go.Heatmap(
            z=values[order],
            x=list(range(len(labels))),
            y=list(range(len(order))),
            customdata=[[f"{names[i]} at {label}" for label in labels] for i in order],
            hovertemplate="%{customdata}: %{z:.3f}<extra></extra>",
            hoverongaps=False,
            xgap=1,
            ygap=1,
            **_scale(values, metric, show),
        )
    )
    figure.update_layout(
        autosize=False,
        width=max(320, 44 * len(labels) + 190),
        height=22 * len(order) + 110,
        margin={"l": 60, "r": 120, "t": 10, "b": 90},
        xaxis={"tickvals": list(range(len(labels))), "ticktext": labels, "tickangle": -60},
        yaxis={
            "tickvals": list(range(len(order))),
            "ticktext": [names[i] for i in order],
            "autorange": "reversed",
        },
    )
    return figure


def _metric(sweep: SweepResult, metric: str | None, show: str) -> str:
    if show not in ASPECTS:
        raise ExperimentError(f"A sweep shows {', '.join(ASPECTS)}, not “{show}”.")
    if show == "estimate" and sweep.estimate is not None:
        return sweep.estimate.metric
    metric = metric or sweep.metric
    if metric not in METRICS:
        raise ExperimentError(f"A sweep has {', '.join(METRICS)}, not “{metric}”.")
    return metric


def sweep_map(
    sweep: SweepResult, of: str, metric: str, show: str, position: int | None = None
) -> np.ndarray:
    """The numbers drawn of "heads" [layer head_index] or "mlps" [layer]; of a sweep position by
    position without a `position`, at the one where each site changes most.

    Raises: ExperimentError for what the sweep does not have.
    """
    values = sweep.shown(of, metric, show)
    if sweep.positions is None:
        return values
    if position is not None:
        if position not in sweep.positions:
            raise ExperimentError(
                f"Position {position} was not swept; there are "
                f"{', '.join(map(str, sweep.positions))}."
            )
        return values[sweep.positions.index(position)]
    changes = sweep.shown(of, metric, "estimate" if show == "estimate" else "change")
    where = np.nan_to_num(np.abs(changes), nan=-1.0).argmax(axis=0)
    return np.take_along_axis(values, where[None], axis=0)[0]


def _told(
    sweep: SweepResult, metric: str, show: str, position: int | None, shape: tuple[int, ...]
) -> np.ndarray:
    """What a pointer over each cell reads."""
    told = np.full(shape, "", dtype=object)
    there = set(map(str, sweep.sites))
    name = METRIC_NAMES[metric]
    clean, given = (float(sweep.mean(of, metric)) for of in ("clean", "given"))
    for of in ("heads", "mlps"):
        parts = {
            part: sweep_map(sweep, of, metric, part, position)
            for part in ASPECTS
            if part != "estimate" or (sweep.estimate and sweep.estimate.metric == metric)
        }
        for at in np.ndindex(parts["mean"].shape):
            site = f"{at[0]}.{at[1]}" if of == "heads" else f"m{at[0]}"
            if site not in there:
                continue
            column = at[1] if of == "heads" else shape[1] - 1
            lines = [f"<b>{site}</b> ablated: {name} {parts['mean'][at]:.3f}"]
            lines[0] += f" ± {parts['spread'][at]:.3f} over {len(sweep.pairs)} prompts"
            lines.append(f"baseline {given:.3f}, change {parts['change'][at]:+.3f}")
            if sweep.experiment.ablations:
                lines.append(f"clean {clean:.3f}")
            if "estimate" in parts:
                lines.append(f"estimated change {parts['estimate'][at]:+.3f}")
            told[at[0], column] = "<br>".join(lines)
    return told


def _scale(values: np.ndarray, metric: str, show: str) -> dict[str, Any]:
    """The colours, where they end, and their legend."""
    signed = show in ("change", "estimate")
    known = values[np.isfinite(values)]
    most = float(np.abs(known).max()) if known.size else 1.0
    most = most or 1.0
    colours = SIGNED if signed else MORE
    if signed and metric in _LESS_IS_BETTER:  # red is always the worse for the answer
        colours = turned(colours)
    low = 0.0 if not known.size else min(0.0, float(known.min()))
    return {
        "colorscale": colours,
        "zmin": -most if signed else low,
        "zmax": most if signed or not known.size else max(float(known.max()), low + 1e-9),
        "colorbar": {
            "title": {"text": f"{METRIC_NAMES[metric]}<br>{ASPECTS[show]}", "side": "right"},
            "thickness": 12,
        },
    }
