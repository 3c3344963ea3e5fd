"""The corrupted prompt, where a page needs one that fits the prompt."""

from dataclasses import replace

import streamlit as st

import engine
from pages._parts import state
from pages._parts.text import plain


def twins(e: engine.Experiment, what: str) -> bool:
    """Whether the experiment has a corrupted prompt of as many tokens; where not, say that `what`
    needs one, with a button that makes it. Raises: EngineError for a prompt that cannot be read."""
    n, other = (len(engine.tokenize(e.model, t, e.prepend_bos)) for t in (e.prompt, e.corrupted))
    if e.corrupted and n == other:
        return True
    has = f"it has {other}, “{e.corrupted[:60]}”" if e.corrupted else "there is none yet"
    st.info(
        plain(f"{what} between two prompts of as many tokens. The prompt has {n}; of the "
              f"corrupted prompt, at the side: {has}.")
    )  # fmt: skip
    asked = replace(e.clean, changes=engine.changes("resample r0"))
    fits = [r for r in engine.remedies(asked) if r.experiment.changes == asked.changes]
    for remedy in fits[:1]:
        made = replace(e, corrupted=remedy.experiment.corrupted)
        st.button(remedy.does, key="_make_corrupted", on_click=state.turn_into, args=(e, made))
    return False
