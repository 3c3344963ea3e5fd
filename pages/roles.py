"""Roles: what each head does to words, from the weights; which copy, which say the next one?"""

import streamlit as st

from pages._parts.frame import require_app

require_app()

from pages._parts import components, state, work
from pages._parts.experiment_form import model_shape, quick
from pages._parts.layout import beside_switches, errors_shown
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.roles import views
from pages._parts.switches import not_known, switches
from pages._parts.table import Rows
from pages._parts.text import plain
from pages._parts.together import together

components.library("plotly")
shape = model_shape()


def scored(reading: state.Reading) -> None:
    e, question, result, by = reading.experiment, None, None, 1
    rows: Rows = []
    with errors_shown():
        question = views.options(e.model)
        by = views.places_on()
        result = work.ask(views.KEY, question).result
        rows = result.table(by) if result is not None else []
    left, right = beside_switches(shape.n_heads)
    with left:
        tint = result.grid(by) if rows and result is not None else not_known(shape)
        switches(e.ablations, shape, tint, views.ticked_sites(rows))
    with right:
        if question is not None:
            views.progress()
        with st.container(horizontal=True):
            if rows and result is not None:
                views.summary(result, rows, by)
            if not reading.errors:
                with errors_shown():
                    together(reading, clean_too=True)
        if rows and result is not None:
            views.heads(rows)
            with errors_shown():
                views.one_head(result, rows, by)
            st.caption(plain(views.explanation(result, by)))
    if rows and result is not None and result.done and question is not None:
        views.picture(result, question, by)


prompt_tokens(state.read().experiment)
quick(scored, follows=True)
