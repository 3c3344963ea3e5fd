"""Patching: a value of one run put into another; what of the answer comes with it?"""

import streamlit as st

from pages._parts.frame import require_app

require_app()

from pages._parts import state, work
from pages._parts.corrupted import twins
from pages._parts.experiment_form import model_shape, quick
from pages._parts.layout import beside_switches, errors_shown, held
from pages._parts.pairs_form import pairs_form
from pages._parts.patching import views
from pages._parts.patching.grid import patch_grid
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.switches import sites_box
from pages._parts.text import plain
from pages._parts.together import together

shape = model_shape()


def patched(reading: state.Reading) -> None:
    e, chosen, question, result = reading.experiment, None, None, None
    with errors_shown():
        chosen = pairs_form(e)
        if chosen is not None and (st.session_state["over"] != "prompt" or twins(e, "Patching is")):
            question = views.options(e, chosen)
            if reading.whole:
                result = work.ask(views.KEY, question).result
    left, right = beside_switches(shape.n_heads)
    with left:
        if result is not None:
            rows = views.greatest(result)
            patch_grid(e, result, shape, views.ticked_cells(result, rows, shape.n_layers))
        sites_box(e.ablations)
    with right:
        if question is not None and chosen is not None:
            views.progress(result)
            if result is not None:
                views.summary(result)
        if st.session_state["over"] == "prompt" and not reading.errors:
            with errors_shown():
                together(reading)
        if result is not None:
            views.places(result, rows)
            st.caption(plain(" ".join((views.explanation(result), *result.notes))))
    if result is not None and result.done and question is not None and chosen is not None:
        views.picture(result, question, chosen)


with held(asks := st.session_state["over"] == "prompt"):
    if asks:
        prompt_tokens(state.read().experiment)
quick(patched, follows=True)
