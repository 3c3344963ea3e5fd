"""Which words heads are asked about: the widgets, and what they say."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts.boxes import choice, written
from pages._parts.roles.fields import INPUTS, OUTPUTS, OWN, SAME

_TAKEN_FOR = {"layer 0": "its stream behind layer 0", "embedding": "its embedding"}


def inputs(label: str) -> None:
    """The list that heads look at, or words of one's own."""
    st.selectbox(label, INPUTS.values, key="role_words", width=170)
    if st.session_state["role_words"] == OWN:
        st.text_input(
            "Words, in order", key="own_words", width=300, help="With spaces between them."
        )


def outputs(label: str) -> None:
    """The other list."""
    st.selectbox(label, OUTPUTS.values, key="role_outputs", width=170)


def taken_for() -> None:
    """What of a word heads are given."""
    choice(
        "A word is taken for",
        "taken_for",
        _TAKEN_FOR,
        help="Published scores take what layer 0 makes of the token, as most later heads see a "
        "word only behind that.",
    )


def chosen() -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """The words of both lists; None where they are the same. Raises: EngineError."""
    ss = st.session_state
    own = ss["role_words"] == OWN
    words = engine.read_words(tuple(written("own_words").split()) if own else ss["role_words"])
    other = ss["role_outputs"]
    return words, None if other == SAME else engine.read_words(other)
