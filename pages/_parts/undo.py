"""What was switched off and changed before, step by step, and the way back to it."""

import streamlit as st

import engine
from pages._parts import messages, state


def remember(e: engine.Experiment) -> None:
    """Note what is switched off and changed now, so that undo can go back to what was before."""
    ss = st.session_state
    last, now = ss.get("_last"), (e.ablations, e.changes)
    if last != now:
        with messages.uncut():
            if last is not None:
                ss["_history"] = [*ss.get("_history", ())[-99:], last]
            ss["_last"] = now


def undo() -> None:
    """Go back to what was switched off before the last change."""
    history = st.session_state.get("_history", [])
    if history:
        st.session_state["_last"] = history[-1]
        ablations, changes = history[-1]
        state.set_ablations(ablations)
        state.set_changes(changes)
        st.session_state["_history"] = history[:-1]


def can_undo() -> bool:
    """Whether anything was changed."""
    return bool(st.session_state.get("_history"))
