"""Direct beside total effect: what each part writes, and what becomes of the answer without it."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import work
from pages._parts.attribution.views import Seen
from pages._parts.figure import figure
from pages._parts.table import Rows, as_csv
from pages._parts.text import plain

KEY = "_attribution_total"
"""Where a session keeps the sweep of its prompt."""


def total_effect(seen: Seen) -> None:
    """A point for each head and MLP, as far as the sweep of the clean prompt knows it."""
    e = seen.e.clean
    result: engine.SweepResult | None = work.ask(KEY, engine.Sweep(e)).result
    known = f"{result.n_done:,} of {len(result.sites):,} known" if result else ""
    work.progress(
        KEY,
        known,
        again="Go on" if known else "Begin again",
        stopped=f"Stopped: {known}." if known else "Stopped before anything was known.",
        anew=work.go_on,
    )
    if result is None or not result.n_done:
        return
    total = result.grid("logit_diff", "change")
    direct = seen.result.clean.sites
    points = [site for site in direct.sites if site in set(total.sites)]
    rows: Rows = [
        {"site": str(site), "direct": direct[site], "total": total[site]} for site in points
    ]
    figure(
        seen.result.beside_figure(total),
        "direct-beside-total",
        csv=as_csv(rows),
        python=(
            f"import switchboard as engine\n\ne = {e.to_python()}\n"
            "direct = engine.direct_attribution(e)\n"
            'total = engine.sweep(e).grid("logit_diff", "change")\n'
            "for site in total.sites:\n"
            "    print(site, direct.clean.sites[site], total[site])\n"
        ),
        key="total_figure",
    )
    st.caption(
        plain(
            f"Clean run, {len(points):,} heads and MLPs. Across: what it writes itself, towards "
            "the answer at the right. Up: how the logit difference changes when it alone is "
            f"switched off ({e.method}, positions {e.positions}), so below 0 it helps the answer. "
            "On the dashed line it would act directly alone; far below it acts through later "
            "parts, near 0 others stand in for it."
        )
    )
