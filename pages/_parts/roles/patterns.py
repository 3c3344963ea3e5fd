"""What heads' attention rests on, on this prompt, as scores beside the roles of their weights."""

from __future__ import annotations

import numpy as np
import streamlit as st

import engine
from pages._parts import state
from pages._parts.attention import grid
from pages._parts.attention.roles import role_chips
from pages._parts.boxes import choice
from pages._parts.experiment_form import model_shape
from pages._parts.figure import figure
from pages._parts.layout import errors_shown
from pages._parts.refusals import Answered, answered
from pages._parts.roles.said import said
from pages._parts.roles.views import beside_grid, head_box, heads_table
from pages._parts.table import Rows
from pages._parts.text import plain

Seen = Answered[engine.AttentionOverview]


def patterns(reading: state.Reading) -> None:
    """The whole view."""
    shape, seen = model_shape(), None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        choice("Run", "run", grid.RUNS)
        grid.score_box()
    with errors_shown():
        if not reading.errors:
            seen = looked_at(reading)
    if seen is None:
        beside_grid(reading, None, [], "patterns")
        return
    tint = grid.score_grid(seen.result, seen.run, shape)
    rows = _rows(seen)
    with beside_grid(reading, tint, rows, "patterns"):
        role_chips(seen)
        heads_table(rows, "patterns")
        head = head_box(str(rows[0]["site"]) if rows else "")
        name = st.session_state["score"]
        st.caption(
            plain(
                f"{name.replace('_', ' ').capitalize()}: {engine.SCORES[name]}. On this one prompt "
                f"of {len(seen.result.tokens)} tokens; blank where it has no token to ask. It does "
                f"not show what attention moves. {' '.join(seen.result.notes)}"
            )
        )
    figure(
        tint.figure(),
        f"attention-{name}",
        csv=grid.scores_csv(seen.result),
        python=grid.overview_python(seen.e, seen.run, False, grid.pixels(shape)),
        key="patterns_figure",
    )
    if head:
        with errors_shown():
            said(seen.e, head)


def looked_at(reading: state.Reading) -> Seen:
    """Every head's scores on the prompt. Raises: EngineError."""
    size = grid.pixels(model_shape())
    return answered(reading, lambda e: engine.attention_overview(e, size, False, view=state.view()))


def _rows(seen: Seen) -> Rows:
    """A row a head with its scores in the run shown, those first whose score is greatest."""
    scores, name = grid.scores_of(seen.result, seen.run), st.session_state["score"]
    order = sorted(
        seen.result.heads, key=lambda head: -np.nan_to_num(abs(scores[name][head.layer, head.head]))
    )
    columns = [name, *(other for other in scores if other != name)]
    return [
        {
            "site": str(head),
            **{
                one.replace("_", " "): round(float(value), 3) if value == value else None
                for one in columns
                for value in (scores[one][head.layer, head.head],)
            },
        }
        for head in order
    ]
