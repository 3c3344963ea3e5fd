"""Switch heads and MLPs off, and see what the model would now say next."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

import engine
from pages._parts import state
from pages._parts.experiment_form import model_shape, quick
from pages._parts.explore.fields import AT
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.rankings import rankings
from pages._parts.switches import switches
from pages._parts.text import plain

NAMES = {"answer": "where the answer is decided", "prompt": "right after the prompt"}

shape = model_shape()


def switched(reading: state.Reading) -> None:
    left, right = st.columns([4, 5] if shape.n_heads <= 16 else [3, 2], gap="medium")
    with left:
        switches(reading.experiment.ablations, shape)
    with right:
        st.segmented_control(
            "Rank the token",
            AT.values,
            key="at",
            format_func=NAMES.__getitem__,
            required=True,
        )
        if not reading.errors:
            try:
                rankings(reading.experiment, st.session_state["at"])
            except engine.EngineError as wrong:
                st.error(plain(wrong))


with st.container():
    prompt_tokens(state.read().experiment)
quick(switched)
