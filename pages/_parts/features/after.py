"""What heads write once features are changed: each one's direct number, and one head in tokens."""

from __future__ import annotations

import numpy as np
import streamlit as st

import engine
from pages._parts import state
from pages._parts.attribution.views import summary
from pages._parts.boxes import written
from pages._parts.experiment_form import model_shape
from pages._parts.layout import errors_shown
from pages._parts.refusals import Answered
from pages._parts.roles.said import said
from pages._parts.roles.views import beside_grid, head_box, heads_table
from pages._parts.table import Rows
from pages._parts.text import plain


def heads_after(reading: state.Reading, made: engine.Experiment) -> None:
    """The whole view. `made`: the experiment as it can be run."""
    changed = bool(made.every_change)
    direct: engine.DirectAttribution | None = None
    with errors_shown():
        try:
            direct = engine.direct_attribution(made, view=f"{state.view()} heads after")
        except engine.Undecided as wrong:
            st.info(plain(wrong))
    run = "difference" if changed else "clean"
    rows = [] if direct is None else _rows(direct, run)
    tint = None if direct is None else direct.sites(run)
    with beside_grid(reading, tint, rows, "after"):
        if not changed:
            st.info(
                "Nothing is changed: switch a feature off (On this prompt) or force it (One "
                "feature), and what heads write then stands here beside the clean run."
            )
        if direct is not None:
            summary(Answered(made, direct, False))
            heads_table(rows, "after")
            st.caption(plain(_told(direct, changed)))
        best = str(rows[0]["site"]) if rows else str(model_shape().heads[-1])
        head = head_box(best, opens=True, what="most changed" if changed else "the most")
    with errors_shown():
        said(made, str(engine.parse_sites(head)[0]) if written("role_head") else best)


def _rows(direct: engine.DirectAttribution, run: str) -> Rows:
    """A row a head, those first whose number is changed most, or, with nothing changed, is most."""
    clean, ablated, by = (direct.sites(one) for one in ("clean", "ablated", run))
    heads = [site for site in clean.sites if isinstance(site, engine.Head)]
    heads = sorted(heads, key=lambda head: -np.nan_to_num(abs(by[head])))
    return [
        {
            "site": str(head),
            "clean": round(float(clean[head]), 3),
            **(
                {
                    "ablated": round(float(ablated[head]), 3),
                    "change": round(float(by[head]), 3),
                }
                if run == "difference"
                else {}
            ),
        }
        for head in heads
    ]


def _told(direct: engine.DirectAttribution, changed: bool) -> str:
    """What the numbers are, their sign, and what is not in them."""
    what = "What each head itself writes towards answer − distractor, in logits"
    if changed:
        clean, ablated = direct.clean, direct.ablated
        what += (
            "; the grid has the change, ablated − clean: blue writes more towards the answer than "
            f"before. All heads {ablated.heads - clean.heads:+.3f}, MLPs "
            f"{ablated.mlps - clean.mlps:+.3f}"
        )
    text = f"{what}. What a head does through later parts is not in it."
    return " ".join((text.replace("-", "−"), *direct.notes))
