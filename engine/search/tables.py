"""A search for a circuit as rows of plain values, as a CSV holds them."""

from __future__ import annotations

from ..showing.site_grid import site_columns
from .results import Discovery

Rows = list[dict[str, object]]


def search_table(found: Discovery) -> Rows:
    """One row a trial, in order: the node, the score of what was left without it (of the search's
    metric, mean over `n` pairs), what that cost as the threshold counts it, and whether it went."""
    search = found.search
    rows: Rows = []
    for i, trial in enumerate(found.trials, 1):
        site = trial.node.site
        rows.append(
            {
                "trial": i,
                **site_columns(site),
                "position": "" if trial.node.position is None else trial.node.position,
                search.metric: trial.score,
                "loss": search.loss(trial.score, found.clean),
                "removed": trial.removed,
                "clean": found.clean,
                "threshold": search.threshold,
                "method": str(search.method),
                "n": len(search.task.pairs),
            }
        )
    return rows
