"""Length: how an answer's scores grow with the number of terms that its prompt shows."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

from pages._parts import state
from pages._parts.experiment_form import model_shape, quick
from pages._parts.layout import beside_switches, errors_shown, held
from pages._parts.length import views
from pages._parts.pairs_form import pairs_form
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.switches import switches

shape = model_shape()


def scored(reading: state.Reading) -> None:
    chosen = None
    with errors_shown():
        chosen = pairs_form(reading.experiment)
    left, right = beside_switches(shape.n_heads)
    with left:
        switches(reading.experiment.ablations, shape)
    with right, errors_shown():
        views.metric_choice()
        if chosen is not None and not reading.errors:
            views.scored(reading, chosen)


with held(asks := st.session_state["over"] == "prompt"):
    if asks:
        prompt_tokens(state.read().experiment)
quick(scored, follows=True)
