"""What the model goes on to say, clean and ablated: token by token, many prompts, whole answers."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

from pages._parts import state
from pages._parts.boxes import choice
from pages._parts.experiment_form import model_shape, quick
from pages._parts.generate.answers import answers
from pages._parts.generate.many import many
from pages._parts.generate.text import text
from pages._parts.layout import errors_shown, held
from pages._parts.prompt_tokens import prompt_tokens

VIEWS = {
    "text": ("Text", text),
    "many": ("Many prompts", many),
    "answers": ("Whole answers", answers),
}

e = (reading := state.read()).experiment
shape = model_shape()
with held(asks := st.session_state["generate"] != "many"):
    if asks:
        prompt_tokens(e)
choice("View", "generate", {name: title for name, (title, _) in VIEWS.items()}, bare=True)
chosen = st.session_state["generate"]
places = {name: held(name == chosen) for name in VIEWS}


def view(reading: state.Reading) -> None:
    with errors_shown():
        VIEWS[chosen][1](reading, shape)


if not reading.errors:
    with places[chosen]:
        if chosen == "text":  # which its own script reads, token by token
            view(reading)
        else:
            quick(view, follows=True)
