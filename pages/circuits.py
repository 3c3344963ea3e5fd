"""Circuits: kept, removed and compared beside random ones, and the paths within them."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

import engine
from pages._parts import components, state, work
from pages._parts.circuits.compare import compare
from pages._parts.circuits.edges import edges
from pages._parts.circuits.evaluate import evaluate
from pages._parts.circuits.fields import DO
from pages._parts.circuits.search import search
from pages._parts.experiment_form import quick
from pages._parts.pairs_form import pairs_form
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.text import plain

MODES = {"search": "Search", "evaluate": "Evaluate", "compare": "Compare", "edges": "Edges"}
VIEWS = {"search": search, "evaluate": evaluate, "edges": edges}

components.library("plotly")


def circuits(reading: state.Reading) -> None:
    if st.session_state.pop("_whole", False):
        st.rerun()
    st.segmented_control(
        "Do",
        DO.values,
        key="do",
        format_func=MODES.__getitem__,
        required=True,
        label_visibility="collapsed",
    )
    try:
        mode = st.session_state["do"]
        if mode == "compare":
            compare(reading)
        else:
            chosen = pairs_form(reading.experiment)
            if chosen is not None:
                VIEWS[mode](reading, chosen)
    except engine.EngineError as wrong:
        st.error(plain(wrong))
    if polls != work.is_going():
        st.rerun()


with st.container():
    if st.session_state["over"] == "prompt":
        prompt_tokens(state.read().experiment)
polls = work.is_going()
quick(circuits, work.EVERY if polls else None)
