"""Which direction is steered with, where and by how much: chosen, and made a further change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import streamlit as st

import engine
from pages._parts import state
from pages._parts.boxes import number, whole, written
from pages._parts.experiment_form import model_shape
from pages._parts.text import plain

_READY = "_ready_example"


def ready() -> None:
    """Draw the ready examples; one that is clicked becomes the direction, and its prompts those
    that the map is of."""
    st.pills(
        "Ready examples",
        engine.STEERING_EXAMPLES,
        key=_READY,
        wrap=True,
        on_change=_take,
        label_visibility="collapsed",
        help="Each brings a direction, made in the middle layer, and prompts to judge it by.",
    )


def _take() -> None:
    ss = st.session_state
    name, ss[_READY] = ss[_READY], None
    if name is None:
        return
    e = state.read().experiment
    try:
        example = engine.steering_example(name, e.model)
    except engine.EngineError as wrong:
        st.toast(plain(wrong))
        return
    keep([example.direction])
    state.fill_in(example.experiment(e.model), ("prompt", "answer", "distractor"))
    ss["over"], ss["positions"], ss["steering_show"] = "written", "all", "map"
    ss["pairs"] = engine.write_task(engine.Task(name, example.pairs))


def keep(new: Iterable[engine.Direction]) -> None:
    """Have these directions in the experiment, in place of those of the same name, and steer with
    the first; in a callback."""
    new = list(new)
    e, names = state.read().experiment, {one.name for one in new}
    others = [one for one in e.vectors if one.name not in names]
    state.fill_in(replace(e, vectors=(*others, *new)), ("vectors",))
    st.session_state["steer_with"] = new[0].name
    st.session_state["steer_layer"] = ""


def _let_go(name: str) -> None:
    """Have the experiment without a direction and the changes that use it; in a callback."""
    e = state.read().experiment
    state.set_changes(one for one in e.changes if one.becomes.vector != name)
    rest = tuple(one for one in e.vectors if one.name != name)
    state.fill_in(replace(e, vectors=rest), ("vectors",))


def chosen(e: engine.Experiment) -> engine.Direction | None:
    """The direction that is steered with; None where there is none."""
    names = {one.name: one for one in e.vectors}
    return names.get(st.session_state["steer_with"]) or next(iter(e.vectors), None)


def layer_of(e: engine.Experiment, direction: engine.Direction) -> int:
    """The layer whose entering stream is steered: the one written, or the one that the direction is
    made at. Raises: EngineError for what is no layer."""
    if written("steer_layer"):
        return whole("steer_layer", "Layer")
    return _own_layer(direction)


def _own_layer(direction: engine.Direction) -> int:
    last = model_shape().n_layers - 1
    within = isinstance(direction.site, engine.MLP)
    return min(direction.site.layer + within, last)


def bar(e: engine.Experiment) -> engine.Direction | None:
    """Draw which direction is steered with, and buttons that make it a change, or none any more.

    Returns: the direction; None where there is none.
    """
    ss, direction = st.session_state, chosen(e)
    if direction is None:
        return None
    ss["steer_with"] = direction.name
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox("Direction", [one.name for one in e.vectors], key="steer_with", width=190)
        st.text_input("Coefficient", key="steer_by", width=95)
        st.text_input(
            "Layer",
            key="steer_layer",
            placeholder=str(_own_layer(direction)),
            width=80,
            help="It is added where the stream enters this layer, at the positions at the side.",
        )
        st.button("Add it", key="_add", on_click=_change, args=("add",), icon=":material/add:")
        st.button(
            "Take it out",
            key="_project",
            on_click=_change,
            args=("project",),
            icon=":material/remove:",
            help="What is there along the direction is removed.",
        )
        own = _own(e, direction.name)
        st.button(
            "Let it be",
            key="_let_be",
            on_click=_set_own,
            args=(direction.name, ()),
            icon=":material/undo:",
            disabled=not own,
        )
        st.button(
            "Remove",
            key="_remove",
            on_click=_let_go,
            args=(direction.name,),
            icon=":material/delete:",
            help="The direction goes from the experiment, with what it changes.",
        )
    st.caption(
        plain(f"Now: {'; '.join(map(str, own))}." if own else "Now nothing is steered by it.")
    )
    return direction


def _own(e: engine.Experiment, name: str) -> list[engine.Change]:
    return [one for one in e.changes if one.becomes.vector == name]


def _change(method: str) -> None:
    """Have the direction added, or taken out, in place of what it did; in a callback."""
    e = state.read().experiment
    direction = chosen(e)
    if direction is None:
        return
    try:
        layer = layer_of(e, direction)
        c = f", {number('steer_by', 'Coefficient')!r}" if method == "add" else ""
        where = "" if e.positions.which == "all" else f" @{e.positions}"
        new = engine.changes(f"{method}({direction.name}{c}) r{layer}{where}")
    except engine.EngineError as wrong:
        st.toast(plain(wrong))
        return
    _set_own(direction.name, new)


def _set_own(name: str, new: Iterable[engine.Change]) -> None:
    e = state.read().experiment
    others = [one for one in e.changes if one.becomes.vector != name]
    state.set_changes([*others, *new])


def steer_by(change: engine.Change) -> None:
    """Have this addition of a direction, in place of what it did; in a callback."""
    name, site = change.becomes.vector, change.sites.sites[0]
    assert name is not None and isinstance(site, engine.Stream)
    st.session_state["steer_by"] = f"{change.becomes.number:.4g}"
    st.session_state["steer_layer"] = str(site.layer)
    _set_own(name, (change,))
