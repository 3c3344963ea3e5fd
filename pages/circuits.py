"""Circuits: kept, removed and compared beside random ones, and the paths within them."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

from pages._parts import state
from pages._parts.boxes import choice
from pages._parts.circuits.compare import compare
from pages._parts.circuits.curve import curve
from pages._parts.circuits.edges import edges
from pages._parts.circuits.evaluate import evaluate
from pages._parts.circuits.search import search
from pages._parts.experiment_form import quick
from pages._parts.layout import errors_shown, held
from pages._parts.pairs_form import pairs_form
from pages._parts.prompt_tokens import prompt_tokens

MODES = {
    "search": "Search",
    "evaluate": "Evaluate",
    "compare": "Compare",
    "edges": "Edges",
    "curve": "Curve",
}
VIEWS = {"search": search, "evaluate": evaluate, "edges": edges, "curve": curve}


def circuits(reading: state.Reading) -> None:
    choice("Do", "do", MODES, bare=True)
    with errors_shown():
        mode = st.session_state["do"]
        if mode == "compare":
            compare(reading)
        else:
            chosen = pairs_form(reading.experiment)
            if chosen is not None:
                VIEWS[mode](reading, chosen)


with held(asks := st.session_state["over"] == "prompt"):
    if asks:
        prompt_tokens(state.read().experiment)
quick(circuits, follows=True)
