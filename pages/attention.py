"""Where every head looks: small for all, large for those chosen, scored; clean and ablated."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

import engine
from pages._parts import components, state
from pages._parts.attention import grid
from pages._parts.attention.fields import SCORE
from pages._parts.attention.patterns import attention_patterns
from pages._parts.experiment_form import model_shape
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.switches import sites_box
from pages._parts.text import plain

components.library("circuitsvis")
e, errors = (reading := state.read()).experiment, reading.errors
shape = model_shape()
prompt_tokens(e)
with st.container(horizontal=True, vertical_alignment="bottom"):
    for label, key, names in (("Run", "run", grid.RUNS), ("Drawn", "weight", grid.WEIGHTS)):
        st.segmented_control(
            label, list(names), key=key, format_func=names.__getitem__, required=True
        )
    st.selectbox(
        "Score",
        SCORE.values,
        key="score",
        format_func=lambda name: name.replace("_", " "),
        width=180,
        help="\n\n".join(f"**{n.replace('_', ' ')}**: {t}." for n, t in engine.SCORES.items()),
    )
sides = st.columns([1, 1], gap="medium") if shape.n_heads <= 16 else [st.container()] * 2
chosen: list[engine.Head] = []
grid.default_heads(shape)
with sides[1]:
    st.text_input("Heads to look at", key="heads", help="2.1 is head 1 of layer 2, a2 all of it.")
try:
    chosen = grid.chosen_heads(shape)
except engine.EngineError as wrong:
    st.error(plain(wrong))
seen = None
if not errors:
    try:
        seen = engine.attention_overview(
            e, grid.pixels(shape), st.session_state["weight"] == "value", view=state.view()
        )
    except engine.EngineError as wrong:
        st.error(plain(wrong))
with sides[0]:
    if seen is not None:
        grid.attention_grid(e, shape, seen, chosen)
    sites_box(e.ablations)
if seen is not None:
    with sides[1]:
        try:
            attention_patterns(e, len(seen.tokens), chosen)
        except engine.EngineError as wrong:
            st.error(plain(wrong))
    grid.score_table(seen, e, shape)
