"""What all that is changed does to the answer of the prompt above, as one number."""

import streamlit as st

import engine
from pages._parts import state
from pages._parts.metric import metric
from pages._parts.refusals import answered
from pages._parts.text import signed


def together(reading: state.Reading, clean_too: bool = False) -> None:
    """Draw the answer's logit difference with all that is changed, where anything is; and
    `clean_too`, that of the clean run. Raises: EngineError for a prompt that cannot be read."""
    if not (reading.experiment.every_change or clean_too):
        return
    told = answered(reading, lambda e: engine.next_token(e, k=1, view=state.view()))
    clean, now = told.result.clean_logit_diff, told.result.ablated_logit_diff
    if clean is None:
        return
    if clean_too:
        st.metric("Clean logit difference", signed(clean), width="content")
    if told.e.every_change and not told.refused and now is not None:
        metric(
            "With all that is changed",
            signed(now),
            now - clean,
            help=f"Logit difference with {'; '.join(map(str, told.e.every_change))}",
        )
