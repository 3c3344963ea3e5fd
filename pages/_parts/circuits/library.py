"""The circuits at hand: the published ones, and one's own, which live in the link as text."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import streamlit as st

import engine
from pages._parts.fields import MOST_WRITTEN
from pages._parts.pairs_form import drawn_by
from pages._parts.text import plain

MOST_COMPARED = 12


@dataclass(frozen=True)
class Library:
    """Circuits by name, one's own first. `problem`: why those of the link cannot be read."""

    own: dict[str, engine.Circuit]
    published: dict[str, engine.Circuit]
    problem: str = ""

    @property
    def every(self) -> dict[str, engine.Circuit]:
        """All there are."""
        return {**self.own, **self.published}


def library() -> Library:
    """The published circuits, and those the session's text has."""
    published = {c.name: c for c in engine.shelf()}
    own: dict[str, engine.Circuit] = {}
    try:
        for one in engine.read_circuits(st.session_state["circuits"]):
            name = _free(one.name, {*own, *published})
            own[name] = replace(one, name=name)
    except engine.EngineError as wrong:
        return Library({}, published, f"The circuits of this link cannot be read. {wrong}")
    return Library(own, published)


def add(circuits: Iterable[engine.Circuit]) -> None:
    """Put circuits among one's own, under names that are free, and choose the last; only in a
    callback, or before the widgets are drawn."""
    there = library()
    own, name = dict(there.own), ""
    for one in circuits:
        same = next((n for n, c in own.items() if replace(c, name=one.name) == one), None)
        name = same or _free(one.name, {*own, *there.published})
        own[name] = replace(one, name=name)
    if name:
        put(own.values())
        st.session_state["circuit"] = name


def put(own: Iterable[engine.Circuit]) -> None:
    """Set one's own circuits."""
    st.session_state["circuits"] = engine.write_circuits(own)


def why_not(circuit: engine.Circuit, shape: engine.Shape) -> str:
    """Why a circuit is not one of a model of this shape; empty if it is."""
    if (circuit.n_layers, circuit.n_heads) == (shape.n_layers, shape.n_heads):
        return ""
    return f"no: {circuit.n_layers} layers of {circuit.n_heads} heads"


def pick_one(shape: engine.Shape) -> engine.Circuit | None:
    """Draw which circuit is meant. Returns: it; None, which is said, where none fits the model."""
    ss, there = st.session_state, library()
    fitting = {name: c for name, c in there.every.items() if not why_not(c, shape)}
    if there.problem:
        st.error(plain(there.problem))
    if not fitting:
        st.info(
            f"No circuit here is of a model of {shape.n_layers} layers of {shape.n_heads} heads. "
            "Make one below: of what is on now, or by pasting or loading one."
        )
        return None
    ss["_circuit"] = ss["circuit"] if ss["circuit"] in fitting else next(iter(fitting))
    st.selectbox(
        "Circuit",
        list(fitting),
        key="_circuit",
        on_change=_on_circuit,
        format_func=lambda name: f"{name} · {size(fitting[name])}",
        width=430,
    )
    if ss["circuit"] and ss["circuit"] not in fitting:
        sentence = "is not one of this model" if ss["circuit"] in there.every else "is not here"
        st.caption(plain(f"“{ss['circuit'][:60]}” {sentence}; this is another."))
    return fitting[ss["_circuit"]]


def pick_some(e: engine.Experiment, shape: engine.Shape) -> list[engine.Circuit]:
    """Draw which circuits are compared, those of the model by a click each, others by name.
    Returns: them, in the order chosen."""
    ss, there = st.session_state, library()
    if there.problem:
        st.error(plain(there.problem))
    every = there.every
    of_it = {name: c for name, c in every.items() if c.model == e.model and not why_not(c, shape)}
    named = [name for name in ss["compared"].split("\n") if name in every][:MOST_COMPARED]
    chosen = named or _two(of_it, there.own) or list(every)[:2]
    ss["_compared"] = [name for name in chosen if name in of_it]
    ss["_compared_others"] = [name for name in chosen if name not in of_it]
    if of_it:
        st.pills(
            f"Circuits of {e.model}",
            list(of_it),
            selection_mode="multi",
            key="_compared",
            on_change=_on_compared,
            format_func=lambda name: f"{name} · {size(every[name])}",
        )
    st.multiselect(
        "Other circuits",
        [name for name in every if name not in of_it],
        key="_compared_others",
        on_change=_on_compared,
        max_selections=MOST_COMPARED,
        format_func=lambda name: f"{name} · {size(every[name])}",
    )
    return [every[name] for name in chosen]


def _two(circuits: dict[str, engine.Circuit], own: Collection[str]) -> list[str]:
    """Which two of a model's circuits are compared by themselves: one's own, where there are two;
    else the one chosen, or that of the task at hand, and the next of another task."""
    ss = st.session_state
    mine = [name for name in circuits if name in own]
    if len(mine) > 1:
        return mine[:2]
    of_the_task = [name for name, c in circuits.items() if c.task == drawn_by(c.model).name]
    first = next((n for n in (ss["circuit"], *mine, *of_the_task, *circuits) if n in circuits), "")
    others = [name for name in circuits if circuits[name].task != circuits[first].task]
    return [first, *others[:1]] if first else []


def size(circuit: engine.Circuit) -> str:
    """How many heads and MLPs a circuit keeps."""
    heads, mlps = len(circuit.heads), len(circuit.mlps)
    sentence = f"{heads} head{'' if heads == 1 else 's'}, "
    if circuit.all_mlps:
        return sentence + "all MLPs"
    return sentence + f"{mlps} MLP{'' if mlps == 1 else 's'}"


def _free(name: str, taken: set[str]) -> str:
    """The name on one line, with a number behind it where it is taken."""
    name = " ".join(name.split()) or "circuit"
    others = (f"{name} ({n})" for n in itertools.count(2))
    return next(one for one in itertools.chain([name], others) if one not in taken)


def _on_circuit() -> None:
    st.session_state["circuit"] = st.session_state["_circuit"]


def _on_compared() -> None:
    ss = st.session_state
    before = ss["compared"].split("\n")
    named = [*ss["_compared"], *ss["_compared_others"]]
    ordered = sorted(named, key=lambda n: before.index(n) if n in before else len(before))
    ss["compared"] = "\n".join(ordered[:MOST_COMPARED])


def fits_link() -> bool:
    """Whether one's own circuits are short enough to be part of the link."""
    return len(st.session_state["circuits"]) <= MOST_WRITTEN
