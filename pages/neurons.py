"""Neurons: which of them matter for this answer, and what one of them says, reads and does."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

from pages._parts import state
from pages._parts.boxes import choice
from pages._parts.experiment_form import quick
from pages._parts.layout import held
from pages._parts.neurons.one import one
from pages._parts.neurons.ranked import ranked
from pages._parts.neurons.sets import between_sets
from pages._parts.prompt_tokens import prompt_tokens

SHOWN = {"ranked": "On this prompt", "one": "One neuron", "sets": "Between languages"}
VIEWS = {"ranked": ranked, "one": one, "sets": between_sets}


def neurons(reading: state.Reading) -> None:
    choice("Show", "neurons_show", SHOWN, bare=True)
    VIEWS[st.session_state["neurons_show"]](reading)


asks = st.session_state["neurons_show"] == "ranked" and st.session_state["over"] == "prompt"
with held(asks):
    if asks:
        prompt_tokens(state.read().experiment)
quick(neurons, follows=True)
