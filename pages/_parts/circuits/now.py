"""What all that is changed now does on a task, in a line."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.pairs_form import Chosen
from pages._parts.refusals import refused_of_pairs
from pages._parts.text import plain

_KEY = "_on_now"


def on_now(reading: state.Reading, chosen: Chosen) -> None:
    """What all that is changed now does on the task; or why the prompt cannot be scored."""
    e = reading.experiment
    if chosen.problem and st.session_state["over"] == "prompt":
        st.error(plain(chosen.problem))
    if chosen.problem or not e.every_change or not reading.whole:
        return
    score: engine.TaskScore | None = work.ask(
        _KEY, engine.ScoreTask(e.model, chosen.task, e)
    ).result
    work.progress(
        _KEY,
        "what is on now",
        refused=lambda wrong: refused_of_pairs(wrong, e, chosen, _KEY),
    )
    if score is None or score.ablated is None:
        return
    clean, ablated = score.clean.mean_logit_diff, score.ablated.mean_logit_diff
    if clean is not None and ablated is not None:
        st.caption(
            plain(
                f"What is on now has a mean logit difference of {ablated:.3f} on this task (clean "
                f"{clean:.3f}), {_how(e)}."
            )
        )


def _how(e: engine.Experiment) -> str:
    """The changes that are on: the grid's by its method and positions, and the further ones."""
    sentence = [f"by {e.method}, positions {e.positions}"] if e.ablations else []
    further = "; ".join(map(str, e.changes))
    return ", and ".join([*sentence, *([f"with {further}"] if further else [])])
