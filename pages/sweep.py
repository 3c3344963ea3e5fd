"""Sweep: every head and MLP switched off alone, over many prompts; which of them matter?"""

import streamlit as st

from pages._parts.frame import require_app

require_app()

import engine
from pages._parts import state, work
from pages._parts.experiment_form import model_shape, quick
from pages._parts.layout import beside_switches, errors_shown, held
from pages._parts.pairs_form import Chosen, pairs_form
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.sweep import views as sweep_views
from pages._parts.switches import not_known, switches
from pages._parts.table import Rows
from pages._parts.text import plain

shape = model_shape()


def swept(reading: state.Reading) -> None:
    e, chosen, question, result = reading.experiment, None, None, None
    with errors_shown():
        chosen = pairs_form(e)
        if chosen is not None:
            question = sweep_views.options(e, chosen)
            if reading.whole:
                result = work.ask(sweep_views.KEY, question).result
    left, right = beside_switches(shape.n_heads)
    rows = sweep_views.most_changed(result) if result else []
    with left:
        tint = sweep_views.tint(result) if result else not_known(shape)
        switches(e.ablations, shape, tint, sweep_views.ticked_sites(rows))
    with right:
        if question is not None and chosen is not None:
            sweep_views.progress(result, question, chosen)
            if result is not None:
                _told(e, result, chosen, rows)
    if result is not None and result.done and question is not None and chosen is not None:
        sweep_views.picture(result, question, chosen)


def _told(e: engine.Experiment, result: engine.SweepResult, chosen: Chosen, rows: Rows) -> None:
    together = None
    with errors_shown():
        together = sweep_views.together(e, result, chosen)
    sweep_views.summary(result, together)
    sweep_views.sites(result, rows)
    st.caption(plain(" ".join((sweep_views.explanation(result), *result.notes))))


with held(asks := st.session_state["over"] == "prompt"):
    if asks:
        prompt_tokens(state.read().experiment)
quick(swept, follows=True)
