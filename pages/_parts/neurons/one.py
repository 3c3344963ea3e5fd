"""One neuron: what it says and reads, where in a text it is strong, and how it is forced."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state
from pages._parts.boxes import choice, written
from pages._parts.neurons.contexts import contexts
from pages._parts.neurons.ranked import first_neuron
from pages._parts.neurons.switching import told
from pages._parts.pairs_form import TASK
from pages._parts.table import downloads, python_for, show_rows
from pages._parts.text import plain, visible
from pages._parts.texts import chosen_texts

_IN = {"family": "A family's prompts", "written": "A text of your own"}
_MOST_PROMPTS, _TOKENS = 60, 10


def one(reading: state.Reading) -> None:
    """The whole view: which neuron, its tokens, and its contexts with what can be done with it."""
    e = reading.experiment
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        best = "" if written("neuron") else first_neuron(e)
        st.text_input(
            "Neuron",
            key="neuron",
            placeholder=best,
            width=160,
            help="n9.123 is neuron 123 of layer 9; empty, the first on this prompt by estimate.",
        )
        choice("Contexts in", "contexts_in", _IN)
        if st.session_state["contexts_in"] == "family":
            st.selectbox("Family", TASK.values, key="task", width=185)
    with told():
        says = engine.neuron_tokens(
            e.model, written("neuron") or best, _TOKENS, view=f"{state.view()} tokens"
        )
        left, right = st.columns([1 + 0.3 * (len(says.reads) > 1), 1], gap="medium")
        with left:
            _tokens(e, says)
        with right, told():
            _contexts(reading, says.neuron)


def _tokens(e: engine.Experiment, says: engine.NeuronTokens) -> None:
    """The tokens it promotes and demotes, and those it is moved by."""
    st.subheader(f"{says.neuron}, by its weights", anchor=False)
    names = {"promotes": "promotes", "in": "read by “in”", "gate": "read by the gate"}
    if len(says.reads) == 1:
        names["in"] = "moved by"
    columns: dict[str, list[object]] = {}
    for name, numbers in {"promotes": says.promotes, **says.reads}.items():
        columns[names[name]] = [visible(text) for text in numbers.top_texts]
        columns[f"{'+' if name == 'promotes' else '↑'} {name}"] = _rounded(numbers.top)
    show_rows(columns)
    st.caption("And at the other end: demoted, and moved down by.")
    other: dict[str, list[object]] = {}
    for name, numbers in {"demotes": says.promotes, **says.reads}.items():
        other[names.get(name, name)] = [visible(text) for text in numbers.bottom_texts]
        other[f"{'−' if name == 'demotes' else '↓'} {name}"] = _rounded(numbers.bottom)
    show_rows(other)
    st.caption(
        plain(
            "Promotes: logits above their mean over all tokens per unit of activation, in a stream "
            f"of size 1 (spread over all {says.n_tokens:,} tokens {says.promotes.spread:.2f}). "
            "Moved by: what it reads, before its activation function, of a token's embedding alone "
            "behind the layer's norm; with a gate, the activation is f(gate) × in. Of the weights "
            "alone: later layers hold more than the token. " + " ".join(says.notes)
        )
    )
    downloads(
        says.table(),
        f"neuron-{says.neuron}",
        python_for(f"neuron_tokens({e.model!r}, {str(says.neuron)!r}, {_TOKENS})"),
        key="neuron",
    )


def _rounded(values: object) -> list[object]:
    return [round(float(value), 2) for value in values]  # type: ignore[attr-defined]


def _contexts(reading: state.Reading, neuron: engine.Neuron) -> None:
    """Its strongest contexts in a text, how its activations lie there, and what it is forced to."""
    model = reading.experiment.model
    texts = chosen_texts(st.session_state["contexts_in"], _MOST_PROMPTS)
    question = engine.FindContexts(model, neuron, texts) if any(texts) else None
    contexts(reading, neuron, question, f"neuron_contexts({model!r}, {str(neuron)!r}, ")
