"""Switch heads and MLPs off, and see what the model would now say next."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

import engine
from pages._parts import components, state
from pages._parts.comparison import comparison
from pages._parts.experiment_form import model_shape
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.switches import switches
from pages._parts.text import plain

SHOWN = 10
AT = {"answer": "where the answer is decided", "prompt": "right after the prompt"}

e, errors = (reading := state.read()).experiment, reading.errors
shape = model_shape()
try:
    prompt_tokens(e, engine.tokenize(e.model, e.prompt, e.prepend_bos))
except engine.EngineError as wrong:
    st.error(plain(wrong))
left, right = st.columns([4, 5] if shape.n_heads <= 16 else [3, 2], gap="medium")
with left:
    switches(e.ablations, shape)
with right:
    st.segmented_control(
        "Rank the token",
        state.CHOICES["at"],
        key="at",
        format_func=AT.__getitem__,
        required=True,
        persist_state="session",
    )
    if not errors:
        try:
            result = engine.next_token(e, k=SHOWN, at=st.session_state["at"], view=state.view())
            components.rankings(comparison(result), key="rankings")
            for note in result.notes:
                st.caption(plain(note))
        except engine.EngineError as wrong:
            st.error(plain(wrong))
