"""Neurons switched off among the sites, and changed among the further changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

import streamlit as st

import engine
from pages._parts import state
from pages._parts.experiment_form import model_shape
from pages._parts.layout import errors_shown
from pages._parts.switches import present_sites
from pages._parts.text import plain

_CHIPS = "_neurons_off"


@contextmanager
def told() -> Iterator[None]:
    """Show the sentence of an EngineError where it would end the view; that a model has no neurons
    to be named is no error of the reader's."""
    with errors_shown():
        try:
            yield
        except engine.NoNeurons as wrong:
            st.info(plain(wrong))


def off_now(e: engine.Experiment) -> list[engine.Neuron]:
    """The neurons that are named among the sites switched off."""
    if e.ablations.verb != "ablate":
        return []
    shape = model_shape()
    named = engine.resolve_sites(present_sites(e.ablations.sites, shape), shape)
    return [site for site in named if isinstance(site, engine.Neuron)]


def chips(e: engine.Experiment, neurons: Collection[engine.Neuron], label: str) -> None:
    """Draw neurons as chips: a click switches one off, and on again."""
    if e.ablations.verb != "ablate":
        st.caption("Only named heads are kept now, so neurons are changed under “One neuron”.")
        return
    off = {str(neuron) for neuron in off_now(e)}
    st.session_state[_CHIPS] = [name for name in map(str, neurons) if name in off]
    st.pills(
        label,
        [str(neuron) for neuron in neurons],
        selection_mode="multi",
        key=_CHIPS,
        wrap=True,
        on_change=_switch,
        args=([str(neuron) for neuron in neurons],),
        help="Each is named among the sites, as n9.123, while it is off.",
    )


def _switch(shown: list[str]) -> None:
    """Take over which of the chips shown are chosen."""
    chosen = set(st.session_state[_CHIPS] or ())
    e, shape = state.read().experiment, model_shape()
    gone = [name for name in shown if name not in chosen]
    _set_off(e, shape, [name for name in shown if name in chosen], gone)


def switch_off(neurons: Iterable[engine.Neuron]) -> None:
    """Have these off too; in a callback."""
    _set_off(state.read().experiment, model_shape(), map(str, neurons), ())


def _set_off(
    e: engine.Experiment, shape: engine.Shape, off: Iterable[str], on: Collection[str]
) -> None:
    named = e.ablations.sites
    present = present_sites(named, shape)
    absent = [site for site in named if site not in present]
    kept = [s for s in engine.resolve_sites(present, shape) if str(s) not in on]
    new = [site for name in off for site in engine.parse_sites(name) if site not in kept]
    state.set_sites([*engine.fold_sites([*kept, *new], shape), *absent])


def changed_now(e: engine.Experiment, neuron: engine.Neuron) -> list[engine.Change]:
    """The further changes that are of this neuron alone."""
    return [change for change in e.changes if change.sites.sites == (neuron,)]


def change_to(method: str, neuron: engine.Neuron) -> None:
    """Have a further change of this neuron alone, in place of those there are; in a callback. No
    `method`: none."""
    e = state.read().experiment
    own = changed_now(e, neuron)
    others = [change for change in e.changes if change not in own]
    new = engine.changes(f"{method} {neuron}") if method else ()
    state.set_changes([*others, *new])
