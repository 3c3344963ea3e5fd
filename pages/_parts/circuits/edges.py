"""Direct effects along paths, as a page shows them: a circuit's edges, or senders to receivers."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import choice, number
from pages._parts.circuits import forms as circuit_forms
from pages._parts.circuits import library as shelf
from pages._parts.circuits.evaluate import WHOSE, mended_by
from pages._parts.circuits.now import on_now
from pages._parts.experiment_form import model_shape
from pages._parts.figure import figure
from pages._parts.layout import beside
from pages._parts.pairs_form import Chosen
from pages._parts.table import as_csv, show_rows
from pages._parts.text import plain

PATHS = {"members": "between a circuit's members", "chosen": "from senders to receivers"}
INPUTS = {"whole": "together", "split": "each by itself"}
_MOST_ROWS = 200


def edges(reading: state.Reading, chosen: Chosen) -> None:
    """The whole view. Raises: EngineError."""
    e, shape, ss = reading.experiment, model_shape(), st.session_state
    choice("Paths", "paths", PATHS)
    if ss["paths"] == "chosen":
        _senders(reading, chosen)
        return
    circuit = circuit_forms.pick_one(e, shape)
    on_now(reading, chosen)
    if circuit is None or not reading.whole:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        choice("Method", "whose", {**WHOSE, "circuit": f"its own: {circuit.method}"})
        choice("Queries, keys, values", "inputs", INPUTS)
        st.text_input(
            "Threshold",
            key="edge_threshold",
            width=100,
            help="Edges that change the logit difference by at least this share of the clean one "
            "are kept, from the logits back; a member without a kept path to them is dropped. "
            "Nothing is run anew.",
        )
    if len(circuit.sites) > engine.MOST_NODES:
        raise engine.EngineError(
            f"The circuit has {len(circuit.sites)} members; at most {engine.MOST_NODES} are pruned "
            "edge by edge. Prune its nodes first."
        )
    method = circuit.method if ss["whose"] == "circuit" else e.method
    split = ss["inputs"] == "split"
    question = engine.MapPaths(_bare(e, method), circuit.sites, split, chosen.task)
    matrix = work.ask("_edges", question).result
    work.progress("_edges", refused=mended_by(question.e, chosen, "_edges"))
    if matrix is not None:
        _pruned(circuit, matrix, question, chosen)


def _pruned(
    circuit: engine.Circuit, matrix: engine.PathMatrix, question: engine.MapPaths, chosen: Chosen
) -> None:
    threshold = number("edge_threshold", "Threshold")
    result = engine.prune_edges(matrix, threshold)
    n = int((matrix.effect == matrix.effect).sum())
    columns = st.columns(4, vertical_alignment="center")
    columns[0].metric("Edges kept", f"{len(result.edges)} of {n}")
    columns[1].metric("Members left", f"{len(result.members)} of {len(circuit.sites)}")
    columns[2].metric("Clean logit difference", f"{matrix.clean:.3f}")
    columns[3].button(
        "Add what is left to the library",
        on_click=shelf.add,
        args=([replace(result.within(circuit), name=f"{circuit.name}, edges")],),
        disabled=not result.dropped or not result.members,
        icon=":material/add:",
    )
    rows = result.table()
    figure(
        result.figure(circuit),
        "edges",
        csv=as_csv(rows),
        key="edges_figure",
        python=f"import switchboard as engine\n\n{chosen.python}\n"
        f"matrix = {question.to_python(task='task')}\n"
        f"result = engine.prune_edges(matrix, {threshold})\n"
        "for row in result.table():\n    print(row)\n",
    )
    apart = (
        " The circuit keeps all MLPs without having asked: they are no members, and paths through "
        "them are not seen."
        if circuit.all_mlps
        else ""
    )
    st.caption(
        plain(
            f"{_told(question)} Each path is judged by itself, with all others whole.{apart} What "
            f"is left is not scored here: evaluate it. {' '.join(result.notes)}"
        )
    )
    if rows:
        shown = [
            {name: _rounded(row[name]) for name in ("sender", "receiver", "effect", "share")}
            for row in rows[:_MOST_ROWS]
        ]
        show_rows(shown)


def _senders(reading: state.Reading, chosen: Chosen) -> None:
    e, shape, ss = reading.experiment, model_shape(), st.session_state
    left, right = st.columns(2)
    left.text_input(
        "Senders",
        key="senders",
        placeholder="all heads and MLPs",
        help="Heads and MLPs, as in 9.1 m4 a3; empty is all of them.",
    )
    right.text_input(
        "Receivers",
        key="receivers",
        help="9.6.q is what the queries of head 9.6 are made from (k: keys, v: values), 9.6 all "
        "three, m10 what an MLP reads, logits what the unembedding reads. Paths lead to all of "
        "them at once.",
    )
    on_now(reading, chosen)
    if not reading.whole:
        return
    receivers = (ss["receivers"] or "").strip()
    if not receivers:
        raise engine.EngineError("No receivers are named; write some, as in 9.6.q m10 logits.")
    senders = engine.parse_sites(ss["senders"] or "") or None
    question = engine.PatchPaths(_bare(e, e.method), senders, receivers, chosen.task)
    result: engine.PathPatch | None = work.ask("_path_patch", question).result
    work.progress("_path_patch", refused=mended_by(question.e, chosen, "_path_patch"))
    if result is None:
        return
    rows = result.table()
    sides = beside(shape.n_heads, "paths")
    with sides[0]:
        figure(
            result.figure(shape),
            "paths",
            csv=as_csv(rows),
            key="paths_figure",
            python=f"import switchboard as engine\n\n{chosen.python}\n"
            f"result = {question.to_python(task='task')}\n"
            "for row in result.table():\n    print(row)\n",
        )
    with sides[1]:
        shown = [
            {"sender": row["sender"], "effect": _rounded(row["effect"]), "±": _rounded(row["std"])}
            for row in rows[:_MOST_ROWS]
        ]
        if shown:
            show_rows(shown)
    into = engine.print_receivers(result.receivers)
    st.caption(plain(f"Paths into {into}. {_told(question)} {' '.join(result.notes)}"))


def _bare(e: engine.Experiment, method: engine.Method) -> engine.Experiment:
    """The experiment with nothing of its own asked or switched."""
    return replace(
        e,
        prompt="",
        corrupted="",
        answer="",
        distractor="",
        ablations=engine.Ablations(),
        method=method,
    )


def _told(question: engine.MapPaths | engine.PatchPaths) -> str:
    assert question.task is not None
    n = len(question.task.pairs)
    text = (
        "An effect is the change of the logit difference (patched − clean) when one direct path "
        f"alone is patched by {question.e.method}, mean over {n} pair{'' if n == 1 else 's'}; "
        "negative (red): the path carries what makes the answer right."
    )
    references = question.e.references or question.task.references
    if "mean" in str(question.e.method):
        whose = "the sidebar's" if question.e.references else "these pairs' corrupted prompts"
        text += f" Averages are over {len(references)} reference prompts, {whose}."
    return text


def _rounded(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value
