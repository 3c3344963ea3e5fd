"""Roles: what each head does, from the weights and on this prompt; and a card for every head."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

from pages._parts import state
from pages._parts.boxes import choice
from pages._parts.experiment_form import quick
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.roles.attends import attends
from pages._parts.roles.card import card
from pages._parts.roles.patterns import patterns
from pages._parts.roles.reads import reads
from pages._parts.roles.writes import writes
from pages._parts.turning import turned

SHOWN = {
    "writes": "What it writes",
    "attends": "What it looks at",
    "reads": "Whom it reads",
    "patterns": "On this prompt",
    "card": "One head",
}
VIEWS = {
    "writes": writes,
    "attends": attends,
    "reads": reads,
    "patterns": patterns,
    "card": card,
}


def roles(reading: state.Reading) -> None:
    turned()
    choice("Show", "roles_show", SHOWN, bare=True)
    VIEWS[st.session_state["roles_show"]](reading)


prompt_tokens(state.read().experiment)
quick(roles, follows=True)
