"""What the model goes on to say, clean and ablated: token by token, many prompts, whole answers."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

import engine
from pages._parts import state, work
from pages._parts.experiment_form import model_shape, quick
from pages._parts.generate.answers import answers
from pages._parts.generate.fields import GENERATE
from pages._parts.generate.many import many
from pages._parts.generate.text import text
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.text import plain

VIEWS = {
    "text": ("Text", text),
    "many": ("Many prompts", many),
    "answers": ("Whole answers", answers),
}

e, errors = (reading := state.read()).experiment, reading.errors
shape = model_shape()
if st.session_state["generate"] == "many":
    st.empty()  # which keeps the place, as what follows is known by its own
else:
    with st.container():
        prompt_tokens(e)
st.segmented_control(
    "View",
    GENERATE.values,
    key="generate",
    format_func=lambda name: VIEWS[name][0],
    required=True,
    label_visibility="collapsed",
)
chosen = st.session_state["generate"]
# each has its own place, so that what another drew goes at once, not when a long run ends
places = {name: st.container() if name == chosen else st.empty() for name in VIEWS}


def view(reading: state.Reading) -> None:
    try:
        VIEWS[chosen][1](reading.experiment, shape)
    except engine.EngineError as wrong:
        st.error(plain(wrong))
    if polls != work.is_going():
        st.rerun()


polls = work.is_going()
if not errors:
    with places[chosen]:
        if chosen == "text":  # which its own script reads, token by token
            view(reading)
        else:
            quick(view, work.EVERY if polls else None)
