"""Where every head looks: small for all, large for those chosen, scored; clean and ablated."""

import streamlit as st

from pages._parts.frame import require_app

require_app()

import engine
from pages._parts import state
from pages._parts.attention import grid
from pages._parts.attention.patterns import attention_patterns
from pages._parts.attention.roles import role_chips
from pages._parts.boxes import choice
from pages._parts.experiment_form import model_shape
from pages._parts.layout import beside, errors_shown
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.refusals import answered
from pages._parts.switches import sites_box

e = (reading := state.read()).experiment
shape = model_shape()
prompt_tokens(e)
with st.container(horizontal=True, vertical_alignment="bottom"):
    choice("Run", "run", grid.RUNS)
    choice("Drawn", "weight", grid.WEIGHTS)
    grid.score_box()
left, right = beside(shape.n_heads, "patterns")
chosen: list[engine.Head] = []
grid.default_heads(shape)
with right:
    st.text_input("Heads to look at", key="heads", help="2.1 is head 1 of layer 2, a2 all of it.")
with errors_shown():
    chosen = grid.chosen_heads(shape)
seen, weighted = None, st.session_state["weight"] == "value"
with left:
    if not reading.errors:
        with errors_shown():
            seen = answered(
                reading,
                lambda e: engine.attention_overview(
                    e, grid.pixels(shape), weighted, view=state.view()
                ),
            )
            role_chips(seen)
            grid.attention_grid(e, shape, seen, chosen)
    sites_box(e.ablations)
if seen is not None:
    with right, errors_shown():
        attention_patterns(seen, chosen)
    grid.score_table(seen, shape)
