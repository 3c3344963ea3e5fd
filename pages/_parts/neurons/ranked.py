"""The neurons that matter most for the answer: estimated, then exactly, each a switch."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import choice, whole, written
from pages._parts.experiment_form import model_shape
from pages._parts.figure import figure
from pages._parts.layout import beside_switches
from pages._parts.neurons.switching import chips, off_now, told
from pages._parts.pairs_form import Chosen, pairs_form
from pages._parts.refusals import refused_of_pairs
from pages._parts.sweep.views import (
    BASELINES,
    agreement_metric,
    over_prompts,
    runs_metrics,
    together,
    together_metric,
)
from pages._parts.switches import switches
from pages._parts.table import Rows, as_csv, rounded, show_rows
from pages._parts.text import plain, signed, visible

KEY = "_neurons"
"""Where a session keeps its ranking."""
_MOST_CHIPS, _MOST_ROWS, _MOST_WRITTEN, _PROMOTED = 20, 100, 1_000, 4


def ranked(reading: state.Reading) -> None:
    """The whole view: what is asked, the switches, the ranking, and the estimates beside it."""
    e, shape = reading.experiment, model_shape()
    chosen, question, result = None, None, None
    with told():
        chosen = pairs_form(e)
        if chosen is not None:
            question = _options(e, chosen)
            if reading.whole:
                result = work.ask(KEY, question).result
    left, right = beside_switches(shape.n_heads)
    with left:
        switches(e.ablations, shape)
    if question is None or chosen is None:
        return
    with right:
        counts = result and (result.n_exact, len(result.neurons), result.seconds_left)
        work.exact(KEY, counts, lambda wrong: refused_of_pairs(wrong, question.e, chosen, KEY))
        if result is not None and result.neurons:
            _summary(e, result, chosen)
            with told():
                _table(e, result)
            st.caption(plain(" ".join((_explanation(result), *result.notes))))
    if result is not None and result.done:
        figure(
            result.figure(),
            "neurons",
            csv=as_csv(result.table(_MOST_WRITTEN)),
            python=f"import switchboard as engine\n\n{chosen.python}\n"
            f"result = {question.to_python(pairs='task.pairs')}\n"
            "print(result.agreement)\nfor row in result.table(100):\n    print(row)\n",
            key="neurons_figure",
        )


def _options(e: engine.Experiment, chosen: Chosen) -> engine.RankNeurons:
    """Draw the widgets. Returns: what the engine is asked."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        choice("On top of", "baseline", BASELINES)
        st.text_input("Layer", key="neurons_layer", placeholder="all", width=75)
        st.text_input(
            "Measured",
            key="neurons_exact",
            width=85,
            help="All neurons are estimated; of so many, those with the greatest estimates, the "
            "exact effect is measured.",
        )
    own = replace(e, prompt="", corrupted="", answer="", distractor="")
    if st.session_state["baseline"] != "given":
        own = replace(own, ablations=engine.Ablations(), changes=())
    layer = None if not written("neurons_layer") else whole("neurons_layer", "Layer")
    exact = whole("neurons_exact", "Measured")
    return engine.RankNeurons(own, chosen.task.pairs, layer, exact)


def _summary(e: engine.Experiment, result: engine.NeuronRanking, chosen: Chosen) -> None:
    """Both runs, how far the estimate can be trusted, and what all that is off does together."""
    known, agreement = result.clean == result.clean, result.agreement
    changed = bool(result.experiment.every_change)
    with st.container(horizontal=True):
        if known.any():
            runs = float(result.clean[known].mean()), float(result.given[known].mean())
            over = over_prompts(len(result.pairs))
            runs_metrics(engine.METRIC_NAMES[result.metric], over, runs, changed)
        with told():
            together_metric(together(e, result, chosen))
        agreement_metric(
            agreement,
            f"over the {agreement.n} neurons measured",
            "These have the greatest estimates: of the others nothing is said.",
        )


def _table(e: engine.Experiment, result: engine.NeuronRanking) -> None:
    """The first as chips to be switched, and all that are measured with their numbers."""
    rows = result.table(max(len(result.neurons), 1))[:_MOST_ROWS]
    first = [engine.parse_sites(str(row["neuron"]))[0] for row in rows]
    several = [site for site in first if isinstance(site, engine.Neuron)]
    chips(e, several[:_MOST_CHIPS], "A click switches a neuron off, another on again")
    says = engine.promoted_tokens(e.model, several, _PROMOTED, view=state.view())
    off, many = set(off_now(e)), len(result.pairs) > 1
    shown: Rows = []
    for row, neuron in zip(rows, several, strict=True):
        line: dict[str, object] = {
            "neuron": row["neuron"],
            "off": neuron in off,
            "exact": rounded(row["exact"]),
        }
        if many:
            line["±"] = rounded(row["exact_std"])
        line["estimate"] = rounded(row["estimate"])
        line["promotes"] = "  ".join(visible(text) for text in says[neuron])
        shown.append(line)
    show_rows(shown)


def _explanation(result: engine.NeuronRanking) -> str:
    """What the numbers are: sign, unit, method, over what, what they do not show."""
    e, n = result.experiment, len(result.pairs)
    name = engine.METRIC_NAMES[result.metric]
    unit = "logits" if result.metric == "logit_diff" else "nats"
    layers = f"layer {result.layer}" if result.layer is not None else "all layers"
    text = (
        f"Each neuron ablated alone ({e.method}, positions {e.positions}), over {n} "
        f"prompt{'s' if n != 1 else ''}: the change of the {name}, in {unit}, below 0 where it "
        f"helps the answer. Estimates, (what is put there − activation) × gradient, are of all "
        f"{result.n_neurons:,} neurons of {layers}; exact, of the {len(result.neurons)} with the "
        "greatest. Promotes: the tokens that a positive activation raises most, by output weights, "
        "final norm and unembedding. Neurons that act together are not seen."
    )
    if result.references:
        text += f" Averages are over {len(result.references)} reference prompts."
    if e.every_change:
        changes = "; ".join(filter(None, (str(e.ablations), *map(str, e.changes))))
        text += f" The baseline is the run with {changes} changed."
    known = result.effects[result.effects == result.effects]
    if known.size:
        text += f" The greatest is {signed(float(known[abs(known).argmax()]))}."
    return text


def first_neuron(e: engine.Experiment) -> str:
    """The neuron that comes first by estimate on this prompt; the first there is where none can be
    estimated."""
    with_answer = replace(e.clean, positions="all")
    try:
        one = work.ask("_first_neuron", engine.RankNeurons(with_answer, exact=1))
    except engine.EngineError:
        return "n0.0"
    if one.result is None or not one.result.neurons:
        return "n0.0"
    return str(one.result.neurons[0])
