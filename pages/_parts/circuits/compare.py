"""Circuits beside each other, as a page shows it, and what they share put to a task."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state
from pages._parts.boxes import MATCHED, choice
from pages._parts.circuits import evaluate as circuit_evaluate
from pages._parts.circuits import forms as circuit_forms
from pages._parts.circuits import library as shelf
from pages._parts.experiment_form import model_shape
from pages._parts.figure import figure, python_of
from pages._parts.layout import beside
from pages._parts.pairs_form import pairs_form
from pages._parts.table import as_csv
from pages._parts.text import plain

THIRD = {"no": "Off", "yes": "Evaluate the intersection"}


def compare(reading: state.Reading) -> None:
    """The whole view. Raises: EngineError."""
    e, shape = reading.experiment, model_shape()
    some = shelf.pick_some(e, shape)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        choice("Chance level of random circuits", "matched", MATCHED)
        circuit_forms.toggle()
    circuit_forms.forms(e, shape, some[0] if some else None)
    if len(some) < 2:
        st.info("Choose two circuits or more.")
        return
    result = engine.overlaps(some, st.session_state["matched"] == "layer")
    common = circuit_forms.joined(some, "intersection")
    if len(some) == 2:
        _two(result)
    else:
        _many(result, common)
    st.caption(plain(_told(result)))
    _add(some)
    _on_a_task(reading, common)


def _two(result: engine.Overlaps) -> None:
    one = result.pairs[0]
    left, right = beside(one.a.n_heads, "both")
    with left:
        figure(
            one.figure(),
            "overlap",
            csv=as_csv(result.sites_table()),
            key="overlap_figure",
        )
    with right:
        columns = st.columns(3)
        columns[0].metric("Shared", len(one.shared))
        columns[1].metric("Jaccard index", f"{one.jaccard:.3f}", help="|A ∩ B| / |A ∪ B|, 0 to 1.")
        columns[2].metric(
            "Its chance level",
            f"{one.chance:.3f}",
            help="What two random circuits of these sizes share on average: an exact expectation.",
        )
        for name, sites in (
            ("Both", one.shared),
            (f"Only {one.a.name}", one.only_a),
            (f"Only {one.b.name}", one.only_b),
        ):
            st.markdown(f"**{plain(name)}** ({len(sites)})")
            st.code(engine.print_sites(sites) or "nothing", language=None, wrap_lines=True)
        python_of(_python(result), "overlap")


def _many(result: engine.Overlaps, common: engine.Circuit) -> None:
    left, right = beside(common.n_heads, "scores")
    with left:
        figure(
            result.sites_figure(),
            "circuits",
            csv=as_csv(result.sites_table()),
            key="counts_figure",
        )
        st.markdown(f"**In all {len(result.circuits)}** ({shelf.size(common)})")
        st.code(engine.print_sites(common.sites) or "none", language=None, wrap_lines=True)
    with right:
        figure(
            result.figure(),
            "overlaps",
            csv=as_csv(result.table()),
            key="overlaps_figure",
            python=_python(result),
        )


def _python(result: engine.Overlaps) -> str:
    inside = "".join(f"    {c.to_python()},\n" for c in result.circuits)
    return (
        f"import switchboard as engine\n\ncircuits = [\n{inside}]\n"
        f"result = engine.overlaps(circuits, layer_matched={result.pairs[0].layer_matched})\n"
        "for row in result.table():\n    print(row)\n"
    )


def _told(result: engine.Overlaps) -> str:
    like = (
        "as many heads in each layer and as many MLPs"
        if result.pairs[0].layer_matched
        else "as many heads and MLPs, of any layer"
    )
    text = (
        f"Chance is the Jaccard index that two random circuits with {like} have on average. What "
        "is shared may still do something else in each task."
    )
    return " ".join((text, *dict.fromkeys(note for one in result for note in one.notes)))


def _add(some: list[engine.Circuit]) -> None:
    with st.container(horizontal=True):
        for title, verb in (("union", "union"), ("intersection", "intersection")):
            st.button(
                f"Add the {title} to the library",
                on_click=shelf.add,
                args=([circuit_forms.joined(some, verb)],),
                icon=":material/add:",
            )


def _on_a_task(reading: state.Reading, common: engine.Circuit) -> None:
    """The intersection on a task of its own, beside controls."""
    st.subheader("The intersection on a task", divider="gray")
    choice("The intersection on a task", "third", THIRD, bare=True)
    if st.session_state["third"] == "no" or not reading.whole:
        return
    chosen = pairs_form(reading.experiment)
    if chosen is None:
        return
    question = circuit_evaluate.options(reading.experiment, common, chosen, drawn=False)
    result = circuit_evaluate.put_to_the_test("_third", question, chosen)
    if result is not None:
        circuit_evaluate.figures(result, "intersection", circuit_evaluate.python(question, chosen))
