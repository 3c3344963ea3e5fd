"""Sweep: every head and MLP switched off alone, over many prompts; which of them matter?"""

import streamlit as st

from pages._parts.frame import require_app

require_app()

import engine
from pages._parts import components, state
from pages._parts.experiment_form import model_shape, quick
from pages._parts.following import EVERY
from pages._parts.pairs_form import pairs_form
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.sweep import views as sweep_views
from pages._parts.switches import switches
from pages._parts.text import plain

components.library("plotly")
shape = model_shape()


def swept(reading: state.Reading) -> None:
    e = reading.experiment
    try:
        chosen = pairs_form(e)
        asked = sweep_views.options(e, chosen)
        one = sweep_views.kept(asked) if not reading.errors else None
    except engine.EngineError as wrong:
        st.error(plain(wrong))
        one = None
    left, right = st.columns([1, 1] if shape.n_heads <= 16 else [3, 2], gap="medium")
    found = one.found if one is not None else None
    with left:
        switches(e.ablations, shape, sweep_views.tint(found) if found else None)
    if one is None:
        return
    with right:
        sweep_views.progress(one)
        if found is not None:
            try:
                together = sweep_views.together(e, found, chosen)
            except engine.EngineError as wrong:
                together = None
                st.error(plain(wrong))
            sweep_views.summary(found, together)
            sweep_views.sites(found)
            st.caption(plain(" ".join((sweep_views.told(found), *found.notes))))
    if found is not None and one.going is None:
        sweep_views.picture(found, asked, chosen)
    if polls != (one.going is not None):
        st.rerun()


with st.container():
    if st.session_state["over"] == "prompt":
        prompt_tokens(state.read().experiment)
polls = sweep_views.is_going()
quick(swept, EVERY if polls else None)
