"""Attribution: what each head and MLP writes towards the answer, and what gradients say of it."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

import engine
from pages._parts import state
from pages._parts.attribution import views
from pages._parts.attribution.gradients import by_gradient
from pages._parts.attribution.total import total_effect
from pages._parts.boxes import choice
from pages._parts.experiment_form import model_shape, quick
from pages._parts.layout import beside_switches, errors_shown, held
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.refusals import answered
from pages._parts.switches import not_known, switches
from pages._parts.text import plain

shape = model_shape()
PAIRS_ALONE = {("gradients", "family"), ("gradients", "written")}
"""What is shown, and asked of what, where the prompt above is not read."""


def attributed(reading: state.Reading) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if st.session_state["attributed"] != "gradients":
            choice("Run", "run", views.RUNS)
        choice("Show", "attributed", views.SHOWN)
    if st.session_state["attributed"] == "gradients":
        by_gradient(reading)
    else:
        parts_written(reading)


def parts_written(reading: state.Reading) -> None:
    seen = None
    left, right = beside_switches(shape.n_heads)
    with right, errors_shown():
        if not reading.errors:
            try:
                seen = answered(reading, lambda e: engine.direct_attribution(e, view=state.view()))
            except engine.Undecided as wrong:
                st.info(plain(wrong))
    with left:
        tint = seen.result.sites(seen.run) if seen else not_known(shape)
        switches(
            reading.experiment.ablations, shape, tint, views.ticked_sites(seen) if seen else ()
        )
    if seen is None:
        return
    with right:
        views.summary(seen)
        with errors_shown():
            match st.session_state["attributed"]:
                case "sources":
                    views.sources(seen)
                case "neurons":
                    views.neurons(seen)
                case "total":
                    total_effect(seen)
                case _:
                    views.parts(seen)
    st.caption(plain(" ".join((views.told(seen), *seen.result.notes))))
    views.picture(seen)


asks = (st.session_state["attributed"], st.session_state["over"]) not in PAIRS_ALONE
with held(asks):
    if asks:
        prompt_tokens(state.read().experiment)
quick(attributed, follows=True)
