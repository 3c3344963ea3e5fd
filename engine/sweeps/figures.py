"""A sweep as plotly figures: layers down, heads across with the MLPs beside them; and positions."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ExperimentError
from ..experiment.sites import Head, Site
from ..scoring.metrics import LESS_IS_BETTER, METRIC_NAMES
from ..showing.site_grid import colours, positions_figure
from ..showing.writing import visible
from .results import ASPECTS, SweepResult, checked_metric

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_LINES = 20
"""Sites drawn position by position: those that change most."""


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
    metric = checked_metric(sweep, metric, show)
    return sweep.grid(metric, show, position).figure(_told(sweep, metric, position))


def draw_sweep_positions(
    sweep: SweepResult, metric: str | None = None, show: str = "change", most: int = MOST_LINES
) -> go.Figure:
    """The sites that change most down, the prompt's positions across.

    Raises: ExperimentError for a sweep without a position axis.
    """
    if sweep.positions is None:
        raise ExperimentError("This sweep was not made position by position.")
    metric = checked_metric(sweep, metric, show)
    heads, mlps = (sweep.shown(of, metric, show) for of in ("heads", "mlps"))
    rows = [
        (s, heads[:, s.layer, s.head] if isinstance(s, Head) else mlps[:, s.layer])
        for s in sweep.sites
    ]
    values = np.array([row for _, row in rows])
    height = np.nan_to_num(np.abs(values)).max(axis=1)
    labels = [
        f"{p} {escape(visible(sweep.pieces[p]))}" if p < len(sweep.pieces) else str(p)
        for p in sweep.positions
    ]
    signed = show in ("change", "estimate")
    return positions_figure(
        [rows[i] for i in np.argsort(-height, kind="stable")[:most]],
        labels,
        f"{METRIC_NAMES[metric]}\n{ASPECTS[show]}",
        **colours(values, signed, signed and metric in LESS_IS_BETTER),
    )


def _told(sweep: SweepResult, metric: str, position: int | None) -> dict[Site, str]:
    """What a pointer over each site reads."""
    told: dict[Site, str] = {}
    name = METRIC_NAMES[metric]
    clean, given = (float(sweep.mean(of, metric)) for of in ("clean", "given"))
    grids = {
        part: sweep.grid(metric, part, position)
        for part in ASPECTS
        if part != "estimate" or (sweep.estimate and sweep.estimate.metric == metric)
    }
    for site in sweep.sites:
        at = {part: grid[site] for part, grid in grids.items()}
        lines = [
            f"<b>{site}</b> ablated: {name} {at['mean']:.3f} ± {at['spread']:.3f} over "
            f"{len(sweep.pairs)} prompts",
            f"baseline {given:.3f}, change {at['change']:+.3f}",
        ]
        if sweep.experiment.every_change:
            lines.append(f"clean {clean:.3f}")
        if "estimate" in at:
            lines.append(f"estimated change {at['estimate']:+.3f}")
        told[site] = "<br>".join(lines)
    return told
