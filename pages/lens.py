"""Logit lens: what the model would say after each layer, clean and ablated."""

from pages._parts.frame import require_app

require_app()

import engine
from pages._parts import state
from pages._parts.experiment_form import model_shape
from pages._parts.layout import beside_switches, errors_shown
from pages._parts.lens.views import grid, last_position, options, traces
from pages._parts.prompt_tokens import prompt_tokens
from pages._parts.refusals import answered
from pages._parts.switches import switches

e = (reading := state.read()).experiment
shape = model_shape()
prompt_tokens(e)
question, seen = options(shape), None
if not reading.errors:
    with errors_shown():
        seen = answered(reading, lambda e: engine.logit_lens(e, **question, view=state.view()))
        grid(seen, question)
left, right = beside_switches(shape.n_heads, 5 / 9)
with left:
    switches(e.ablations, shape)
if seen is not None:
    with right:
        traces(seen, question)
        last_position(seen)
