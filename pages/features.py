"""Features: how healthy a sparse autoencoder is, and what its features are, each a switch."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

from pages._parts import state
from pages._parts.boxes import choice
from pages._parts.experiment_form import quick
from pages._parts.features.after import heads_after
from pages._parts.features.answer import for_the_answer
from pages._parts.features.choosing import chosen_sae
from pages._parts.features.circuit import circuit
from pages._parts.features.health import health
from pages._parts.features.one import one
from pages._parts.features.prompt import on_prompt
from pages._parts.features.training import train
from pages._parts.layout import errors_shown
from pages._parts.neurons.contexts import what_comes_next
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.switches import sites_box
from pages._parts.turning import turned

SHOWN = {
    "health": "Health",
    "prompt": "On this prompt",
    "one": "One feature",
    "after": "Heads after",
    "answer": "For the answer",
    "circuit": "Circuit",
    "train": "Train",
}


def features(reading: state.Reading) -> None:
    turned()
    choice("Show", "features_show", SHOWN, bare=True)
    shown = st.session_state["features_show"]
    made = sae = None
    if shown == "after":  # whose grid has the box of sites
        top = st.container()
    else:
        left, top = st.columns(2, gap="medium", vertical_alignment="top")
        with left:
            sites_box(reading.experiment.ablations)
    with top:
        if shown != "train":
            sae = chosen_sae(reading.experiment)
        with errors_shown():
            made = what_comes_next(reading)
    if shown == "train":
        train(reading)
    elif sae is None:
        st.info("No SAE of this model is here. Read one from its folder, or train one.")
    elif shown == "health":
        health(reading, sae)
    elif shown == "one":
        one(reading, sae)
    elif shown == "answer":
        for_the_answer(reading, sae)
    elif shown == "circuit":
        circuit(reading, sae)
    elif made is None:
        return
    elif shown == "after":
        heads_after(reading, made)
    else:
        on_prompt(reading.experiment, made, sae)


prompt_tokens(state.read().experiment)
quick(features, follows=True)
