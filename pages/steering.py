"""Steering: a direction made, what adding it brings and costs, and the texts it makes."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

from pages._parts import state
from pages._parts.boxes import choice
from pages._parts.experiment_form import quick
from pages._parts.layout import errors_shown, held
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.steering.making import making
from pages._parts.steering.mapped import mapped
from pages._parts.steering.texts import repeated, side_by_side
from pages._parts.steering.using import bar, ready
from pages._parts.switches import sites_box
from pages._parts.together import together

SHOWN = {"direction": "Direction", "map": "Map", "text": "Text"}
NONE_YET = "There is no direction yet: take one of the examples, or make one under “Direction”."


def of_direction(reading: state.Reading) -> None:
    direction = bar(reading.experiment)
    if not reading.errors and reading.experiment.prompt:
        with errors_shown():
            together(reading, clean_too=True)
    making(reading, direction)
    sites_box(reading.experiment.ablations)


def of_map(reading: state.Reading) -> None:
    direction = bar(reading.experiment)
    if direction is None:
        st.info(NONE_YET)
    else:
        mapped(reading, direction)


asks = st.session_state["steering_show"] != "map" or st.session_state["over"] == "prompt"
with held(asks):
    if asks:
        prompt_tokens(state.read().experiment)
with st.container(horizontal=True, vertical_alignment="center"):
    choice("Show", "steering_show", SHOWN, bare=True)
    ready()
match st.session_state["steering_show"]:
    case "direction":
        quick(of_direction, follows=True)
    case "map":
        quick(of_map, follows=True)
    case _:
        reading = state.read()
        if bar(reading.experiment) is None:
            st.info(NONE_YET)
        else:
            with errors_shown():
                side_by_side(reading)  # which its own script reads, token by token
            quick(repeated, follows=True)
