"""Features: how healthy a sparse autoencoder is, and what its features are, each a switch."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

from pages._parts import components, state
from pages._parts.boxes import choice
from pages._parts.experiment_form import quick
from pages._parts.features.choosing import chosen_sae
from pages._parts.features.health import health
from pages._parts.features.one import one
from pages._parts.features.prompt import on_prompt
from pages._parts.features.training import train
from pages._parts.prompt_tokens import prompt_tokens

SHOWN = {"health": "Health", "prompt": "On this prompt", "one": "One feature", "train": "Train"}
VIEWS = {"health": health, "prompt": on_prompt, "one": one}

components.library("plotly")


def features(reading: state.Reading) -> None:
    choice("Show", "features_show", SHOWN, bare=True)
    shown = st.session_state["features_show"]
    if shown == "train":
        train(reading)
        return
    sae = chosen_sae(reading.experiment)
    if sae is None:
        st.info("No SAE of this model is here. Read one from its folder, or train one.")
        return
    VIEWS[shown](reading, sae)


with st.container():
    if st.session_state["features_show"] == "prompt":
        prompt_tokens(state.read().experiment)
quick(features, follows=True)
