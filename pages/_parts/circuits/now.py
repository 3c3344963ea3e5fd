"""What all that is switched off now does on a task, in a line."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state
from pages._parts.pairs_form import Chosen
from pages._parts.text import plain


def on_now(e: engine.Experiment, chosen: Chosen) -> None:
    """What all that is off now does on the task, by the sidebar's method and positions; or why the
    prompt cannot be scored."""
    if not e.every_change:
        if chosen.problem and st.session_state["over"] == "prompt":
            st.error(plain(chosen.problem))
        return
    ss, asked = st.session_state, (e, chosen.task)
    try:
        if ss.get("_on_now_of") != asked:
            ss["_on_now"] = engine.score_task(e.model, chosen.task, e, f"{state.view()} on now")
            ss["_on_now_of"] = asked
        score: engine.TaskScore = ss["_on_now"]
    except engine.EngineError as wrong:
        st.error(plain(wrong))
        return
    clean = score.clean.mean_logit_diff
    ablated = score.ablated.mean_logit_diff if score.ablated is not None else None
    if clean is not None and ablated is not None:
        st.caption(
            plain(
                f"What is on now has a mean logit difference of {ablated:.3f} on this task (clean "
                f"{clean:.3f}), by {e.method}, positions {e.positions}."
            )
        )
