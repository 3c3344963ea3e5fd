"""Switch heads and MLPs off, and see what the model would now say next."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

from pages._parts import state
from pages._parts.boxes import choice
from pages._parts.experiment_form import model_shape, quick
from pages._parts.layout import beside_switches, errors_shown
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.rankings import rankings
from pages._parts.switches import switches

NAMES = {"answer": "where the answer is decided", "prompt": "right after the prompt"}

shape = model_shape()


def switched(reading: state.Reading) -> None:
    left, right = beside_switches(shape.n_heads, 5 / 9)
    with left:
        switches(reading.experiment.ablations, shape)
    with right:
        choice("Rank the token", "at", NAMES)
        if not reading.errors:
            with errors_shown():
                rankings(reading, st.session_state["at"])


with st.container():
    prompt_tokens(state.read().experiment)
quick(switched)
