"""A circuit put to the test, as a page shows it: its scores beside those of random circuits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import MATCHED, choice, whole
from pages._parts.circuits import forms as circuit_forms
from pages._parts.circuits.now import on_now
from pages._parts.experiment_form import model_shape
from pages._parts.figure import figure
from pages._parts.layout import beside_switches
from pages._parts.pairs_form import Chosen
from pages._parts.refusals import refused_of_pairs
from pages._parts.switches import not_known, switches
from pages._parts.table import as_csv
from pages._parts.text import plain

WHOSE = {"circuit": "the circuit's own", "sidebar": "the sidebar's"}
MEMBERS = {"each": "one by one", "none": "not at all"}
MEANS = {
    "own": "the pairs it was found on",
    "these": "these pairs",
    "sidebar": "the sidebar's references",
}


def evaluate(reading: state.Reading, chosen: Chosen) -> None:
    """The whole view. Raises: EngineError."""
    e, shape = reading.experiment, model_shape()
    circuit = circuit_forms.pick_one(e, shape)
    question = options(e, circuit, chosen) if circuit is not None else None
    result = None
    left, right = beside_switches(shape.n_heads)
    with right:
        if question is not None and reading.whole:
            result = put_to_the_test("_evaluation", question, chosen)
    with left:
        switches(e.ablations, shape, result.grid() if result else not_known(shape))
        on_now(reading, chosen)
    if result is not None and question is not None:
        figures(result, "evaluation", python(question, chosen))


def python(question: engine.Evaluate, chosen: Chosen) -> str:
    """Code that prints every row of the evaluation."""
    return (
        "import switchboard as engine\n\n"
        f"circuit = {question.circuit.to_python()}\n{chosen.python}\n"
        f"result = {question.to_python(circuit='circuit', task='task')}\n"
        "for row in result.table():\n    print(row)\n"
    )


def options(
    e: engine.Experiment, circuit: engine.Circuit, chosen: Chosen, drawn: bool = True
) -> engine.Evaluate:
    """Draw the widgets; `drawn`: also that of how controls are drawn, where it is not on the page.

    Returns: what the engine is asked. Raises: EngineError for no number.
    """
    ss = st.session_state
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.text_input("Controls", key="n_controls", width=85, help="How many random circuits.")
        st.text_input("Their seed", key="control_seed", width=90)
        if drawn:
            choice("They are drawn", "matched", MATCHED)
        choice("Members", "members", MEMBERS)
        choice("Method", "whose", {**WHOSE, "circuit": f"its own: {circuit.method}"})
        choice(
            "Means from",
            "means",
            MEANS,
            help="Whose corrupted prompts averages are over. A circuit that does not say which it "
            "was found on, or whose have another length, takes those of these pairs.",
        )
    of = {"own": None, "these": chosen.task.references, "sidebar": e.references}
    return engine.Evaluate(
        circuit if ss["whose"] == "circuit" else replace(circuit, method=e.method),
        chosen.task,
        whole("n_controls", "Controls"),
        whole("control_seed", "Their seed"),
        ss["matched"] == "layer",
        ss["members"] == "each",
        of[ss["means"]],
        e.model,
    )


def put_to_the_test(
    key: str, question: engine.Evaluate, chosen: Chosen
) -> engine.Evaluation | None:
    """Evaluate, and draw the numbers or how far it is. Raises: EngineError."""
    result: engine.Evaluation | None = work.ask(key, question).result
    method, references = question.circuit.method, question.references
    kept = engine.Experiment(chosen.model, method=method, references=references or ())
    without = references == () and method.kind.takes == "references"
    work.progress(key, refused=_without_references if without else mended_by(kept, chosen, key))
    if result is not None:
        numbers(result)
        st.caption(plain(" ".join((explanation(result), *result.notes))))
        _switch(result.circuit, key)
    return result


def _without_references(wrong: engine.EngineError) -> None:
    """Say that the sidebar has no reference prompts, with what can be averaged over instead."""
    st.warning(plain(wrong))
    these = {"means": "these"}
    st.button("Average over these pairs'", on_click=st.session_state.update, args=(these,))


def mended_by(
    e: engine.Experiment, chosen: Chosen, key: str, box: str = "whose", word: str = "sidebar"
) -> Callable[[engine.EngineError], None]:
    """How it is told that an experiment's method cannot be used on pairs. `box`: the widget that
    says which method is, set to that `word` where a remedy is another method."""

    def further(remedy: engine.Remedy) -> None:
        if remedy.experiment.method != e.method:
            st.session_state[box] = word or str(remedy.experiment.method)

    return lambda wrong: refused_of_pairs(wrong, e, chosen, key, further)


def numbers(result: engine.Evaluation, offers: bool = True) -> None:
    """The scores, and those of the controls beside them; `offers` others where there are none."""
    row = st.container(horizontal=True, gap="medium")  # as wide as their words, which columns cut
    for name, run, share, definition in (
        ("Clean", result.clean, 1.0, "Nothing ablated."),
        (
            "Only it",
            result.kept,
            result.faithfulness,
            "Faithfulness: everything else ablated. 100% of clean is a faithful circuit.",
        ),
        (
            "Without it",
            result.removed,
            result.completeness,
            "Completeness: its sites ablated. 0% of clean is a complete circuit.",
        ),
        ("Nothing kept", result.empty, result.share(_mean(result.empty)), "The floor."),
    ):
        row.metric(
            name,
            f"{_mean(run):.3f}",
            told_share(result, run, share),
            width="content",
            delta_color="off",
            delta_arrow="off",
            help=f"{definition} Mean logit difference of {len(run.logit_diff)} pairs.",
        )
    controls = result.controls
    if controls is None:
        if any(note.startswith("No controls: ") for note in result.notes):
            st.warning("There are no controls beside these scores: see below why.")
            if offers and st.session_state["matched"] == "layer":
                st.button("Draw them from any layer", on_click=_from_anywhere)
        else:
            st.warning("No controls were asked for: other heads might do as well.")
        return
    st.markdown(
        f"The circuit alone has **{_with(result, result.kept, result.faithfulness)}** of the clean "
        f"score (faithfulness), and **{_with(result, result.removed, result.completeness)}** is "
        "left without it (completeness)."
    )
    n, like = len(controls.kept), "layer-matched " if controls.layer_matched else ""
    kept, removed = (round(n * (beats or 0)) for beats in (result.kept_beats, result.removed_beats))
    st.markdown(
        f"Of **{n} {like}random circuits** of its size (seed {controls.seed}) **{kept}** keep "
        f"less than it alone does (they keep {_spread(controls.kept)}), and the removal of "
        f"**{removed}** leaves more (it leaves {_spread(controls.removed)})."
    )


def told_share(result: engine.Evaluation, run: engine.PairScores, share: float) -> str | None:
    """A run's share of the clean score, with its spread over pairs; of the clean one itself only
    that, where it is known."""
    if run is not result.clean:
        return f"{_with(result, run, share)} of clean"
    spread = result.spread(run)
    return None if spread is None else f"± {spread:.1%} over pairs"


def _with(result: engine.Evaluation, run: engine.PairScores, share: float) -> str:
    spread = result.spread(run)
    return f"{share:.1%}" if spread is None else f"{share:.1%} ± {spread:.1%}"


def _spread(scores: Any) -> str:
    mean, low, high = scores.mean(), scores.min(), scores.max()
    return f"{mean:.2f} on average, {low:.2f} to {high:.2f}".replace("-", "−")


def explanation(result: engine.Evaluation) -> str:
    """What the numbers are: sign, spread, pairs, method, what was averaged over."""
    c = result.circuit
    text = (
        "Logit difference is logit(answer) − logit(distractor), positive is right; means over "
        f"pairs, ± their standard deviation over pairs. On {result.model}, {result.conditions}"
    )
    text += "; MLPs were not asked about and stay." if c.all_mlps else "; so are MLPs not named."
    if result.model != c.model:
        text += f" The circuit was found in {c.model}."
    return text


def figures(result: engine.Evaluation, name: str, python: str = "") -> None:
    """The evaluation over its controls and its members, with the downloads."""
    figure(
        result.figure(),
        name,
        csv=as_csv(result.table()),
        python=python,
        key=f"{name}_figure",
    )
    if result.members:
        figure(
            result.members_figure(),
            f"{name}_members",
            csv=as_csv(result.members_table()),
            key=f"{name}_members_figure",
        )
        st.caption(
            "Minimality: by how much the score of the circuit alone falls when a member is removed "
            "too. Near 0, or below, it is not needed."
        )


def _switch(circuit: engine.Circuit, key: str) -> None:
    with st.container(horizontal=True):
        for title, sites in (("Keep only it", circuit.kept), ("Ablate it", circuit.removed)):
            st.button(
                f"{title} in the grid",
                key=f"_{title}{key}",
                on_click=switch,
                args=(sites,),
                icon=":material/grid_on:",
                help="Sets what is switched on every page, by the sidebar's method and positions.",
            )


def switch(ablations: engine.Ablations) -> None:
    """Set what is switched; in a callback."""
    folded = engine.fold_sites(ablations.sites, model_shape())
    state.set_ablations(replace(ablations, sites=folded))


def _from_anywhere() -> None:
    st.session_state["matched"] = "anywhere"


def _mean(scores: engine.PairScores) -> float:
    mean = scores.mean_logit_diff
    return float("nan") if mean is None else mean
