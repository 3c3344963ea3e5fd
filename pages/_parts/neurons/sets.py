"""Neurons that belong to one of several sets of prompts, and what each set loses without them."""

from __future__ import annotations

import numpy as np
import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import choice, number, whole
from pages._parts.experiment_form import model_shape
from pages._parts.figure import figure
from pages._parts.neurons.fields import SETS
from pages._parts.neurons.switching import switch_off, told
from pages._parts.table import Rows, as_csv, downloads, rounded, show_rows
from pages._parts.text import plain, signed, unescaped

KEY = "_language_neurons"
_BY = {"entropy": "entropy over sets (LAPE)", "precision": "average precision"}
_DOES = {"silence": "silenced", "force": "forced"}
_NAMES = {"none": "nothing else", "english": "English", "spanish": "Spanish", "own": "your own"}
_MOST_SWITCHED = 200


def between_sets(reading: state.Reading) -> None:
    """The whole view: the sets, what is asked, the matrix with its controls, the neurons."""
    e, question, result = reading.experiment, None, None
    with told():
        question = _asked(e)
        result = None if question is None else work.ask(KEY, question).result
    if question is None:
        return
    work.progress(KEY, "neurons, then texts", again="Go on", stopped="Stopped.", anew=work.go_on)
    if e.every_change:
        st.caption("Of the model with nothing changed: what is switched off now is left out here.")
    if result is None:
        return
    left, right = st.columns([1, 1], gap="medium")
    with left:
        _matrix(result, question)
    with right:
        _neurons(e, result, question)


def _asked(e: engine.Experiment) -> engine.FindLanguageNeurons | None:
    """Draw the widgets. Returns: what the engine is asked; None while a set is to be written."""
    ss = st.session_state
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for word, field in zip(("Between", "and", "and also"), SETS, strict=True):
            choice(word, field.name, {name: _NAMES[name] for name in field.values})
        choice("Selective by", "selective_by", _BY)
        st.text_input("% of all", key="selective_share", width=80)
        choice("They are", "selective_does", _DOES)
        st.text_input("Controls", key="control_draws", width=80, help="How often random are drawn")
        st.text_input("Seed", key="language_seed", width=65)
    chosen = {field: own for field, own in SETS.items() if ss[field.name] != "none"}
    sets: list[engine.PromptSet] = []
    for place, (field, own) in zip(
        st.columns(len(chosen), gap="medium"), chosen.items(), strict=True
    ):
        if ss[field.name] != "own":
            sets.append(engine.prompt_set(ss[field.name]))
            continue
        with place:
            st.text_area("Your prompts, one a line", key=own, height=110)
        lines = [unescaped(line) for line in (ss[own] or "").split("\n") if line.strip()]
        if not lines:
            st.info("Write prompts, one a line: half of them find neurons, half are measured on.")
            return None
        sets.append(engine.PromptSet(own.replace("_own", ""), tuple(lines)))
    return engine.FindLanguageNeurons(
        e.model,
        tuple(sets),
        ss["selective_by"],
        number("selective_share", "% of all") / 100,
        ss["selective_does"],
        whole("control_draws", "Controls"),
        whole("language_seed", "Seed"),
    )


def _matrix(result: engine.LanguageNeurons, question: engine.FindLanguageNeurons) -> None:
    """What each set loses by its own and by the other's, beside random neurons."""
    if np.isfinite(result.clean).all():
        figure(
            result.figure(),
            "language-neurons",
            csv=as_csv(result.table()) if result.done else "",
            key="languages_figure",
        )
    n = len(result.controls)
    text = (
        "In cells the perplexity of the texts (below) with the neurons (at the left) "
        f"{_DOES[result.does]}; red: they are predicted worse than clean. Random ones are as many "
        f"of the same layers, the mean of {n} draws. Found on the first, third … prompt of each "
        "set, measured on the others."
    )
    if result.done:
        controls = result.control_own_more
        for i, name in enumerate(result.names):
            beats = "more than any draw" if result.beats_controls[i] else "no more than chance"
            text += (
                f" {name.capitalize()}'s cost its own texts {signed(float(result.own_more[i]))} "
                f"nats a token more than the others' (random {signed(float(controls[:, i].mean()))}"
                f" ± {float(controls[:, i].std()):.2f}): {beats}."
            )
    guess = np.log(model_shape().d_vocab)
    lost = [n for n, loss in zip(result.names, result.clean, strict=True) if loss > guess]
    if lost:
        text += (
            f" It predicts {' and '.join(lost)} worse than even chances for all its tokens would, "
            "so it does not know such text, and this says little."
        )
    st.caption(plain(" ".join((text, *result.notes))))
    if result.done:
        downloads(
            result.table(),
            "language-neurons",
            f"import switchboard as engine\n\nresult = {question.to_python()}\n"
            "print(result.perplexity, result.beats_controls)\n"
            "for row in result.neurons_table():\n    print(row)\n",
        )


def _neurons(
    e: engine.Experiment, result: engine.LanguageNeurons, question: engine.FindLanguageNeurons
) -> None:
    """The neurons found, with their scores, and buttons that switch a set's off everywhere."""
    with st.container(horizontal=True, gap="small"):
        for name, neurons in zip(result.names, result.neurons, strict=True):
            st.button(
                f"Switch off {name}'s {len(neurons)}",
                key=f"_switch {name}",
                on_click=switch_off,
                args=(neurons,),
                disabled=not 0 < len(neurons) <= _MOST_SWITCHED or e.ablations.verb != "ablate",
                help=f"Up to {_MOST_SWITCHED} at once; on every page, until they are cleared.",
            )
    rows: Rows = [
        {
            name.replace("_", " "): rounded(value) if isinstance(value, float) else value
            for name, value in row.items()
        }
        for row in result.neurons_table()
    ]
    show_rows(rows)
    total = len(result.layers) * (model_shape().d_mlp or 0)
    st.caption(
        plain(
            f"{sum(map(len, result.neurons)):,} of {total:,} neurons. Entropy over sets: 0 where a "
            f"neuron is above 0 in one alone, {np.log(len(result.names)):.2f} where alike in all; "
            "precision: how well its mean activation tells the set's prompts from the others', 1 "
            "is always; on in: the share of tokens at which it is above 0. Sets differ in what "
            "they say and in how their words are cut too, and neither score says that the model "
            "uses the neuron."
        )
    )
