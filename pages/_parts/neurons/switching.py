"""Neurons and features switched off among the sites, and changed among the further changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import streamlit as st

import engine
from pages._parts import state
from pages._parts.experiment_form import model_shape
from pages._parts.layout import errors_shown
from pages._parts.switches import present_sites
from pages._parts.text import plain

_CHIPS = "_neurons_off"
Unit = engine.Neuron | engine.Feature


@contextmanager
def told() -> Iterator[None]:
    """Show the sentence of an EngineError where it would end the view; that a model has no neurons
    to be named is no error of the reader's."""
    with errors_shown():
        try:
            yield
        except engine.NoNeurons as wrong:
            st.info(plain(wrong))


def off_now(e: engine.Experiment) -> list[Unit]:
    """The neurons and features that are named among the sites switched off."""
    if e.ablations.verb != "ablate":
        return []
    shape = model_shape()
    named = engine.resolve_sites(present_sites(e.ablations.sites, shape), shape)
    return [site for site in named if isinstance(site, Unit)]


def chips(
    e: engine.Experiment, units: Collection[Unit], label: str, sae: engine.Sae | None = None
) -> None:
    """Draw neurons, or features of an SAE, as chips: a click switches one off, and on again."""
    names = [str(unit) for unit in units]
    if e.ablations.verb != "ablate":
        what = "neurons" if sae is None else "features"
        st.caption(f"Only named heads are kept now, so {what} are changed one by one.")
        return
    key, off = f"{_CHIPS}{'' if sae is None else ' of an SAE'}", {str(one) for one in off_now(e)}
    st.session_state[key] = [name for name in names if name in off]
    st.pills(
        label,
        names,
        selection_mode="multi",
        key=key,
        wrap=True,
        on_change=_switch,
        args=(key, names, sae),
        help=f"Each is named among the sites, as {'n9.123' if sae is None else 'f9.123'}, while it "
        "is off.",
    )


def _switch(key: str, shown: list[str], sae: engine.Sae | None) -> None:
    """Take over which of the chips shown are chosen."""
    name_sae(sae)
    chosen = set(st.session_state[key] or ())
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


def name_sae(sae: engine.Sae | None) -> None:
    """Have the experiment name an SAE, before any other, and in the place of one of its layer."""
    if sae is not None:
        e = state.read().experiment
        others = [one for one in e.saes if one.layer != sae.layer]
        state.fill_in(replace(e, saes=[sae, *others]), ("saes",))


def changed_now(e: engine.Experiment, neuron: Unit) -> list[engine.Change]:
    """The further changes that are of this neuron or feature alone."""
    return [change for change in e.changes if change.sites.sites == (neuron,)]


def change_to(method: str, neuron: Unit, sae: engine.Sae | None = None) -> None:
    """Have a further change of this neuron, or feature of an SAE, alone, in place of those there
    are; in a callback. No `method`: none."""
    name_sae(sae)
    e = state.read().experiment
    own = changed_now(e, neuron)
    others = [change for change in e.changes if change not in own]
    new = engine.changes(f"{method} {neuron}") if method else ()
    state.set_changes([*others, *new])
