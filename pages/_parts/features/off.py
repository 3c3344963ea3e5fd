"""Features of an SAE switched off, or all but some, by buttons: one change of the experiment."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

import engine
from pages._parts import state
from pages._parts.neurons.switching import name_sae, off_now
from pages._parts.text import plain

MOST_LETTERS = 8_000
"""Of a change in a link: longer ones are cut by many programs that pass links on."""


AT_0 = engine.Method()


def own_changes(e: engine.Experiment, sae: engine.Sae) -> list[engine.Change]:
    """The changes that only switch features of this SAE off, or set them to their mean."""
    return [change for change in e.changes if _is_own(change, sae)]


def features_off(e: engine.Experiment, sae: engine.Sae) -> set[engine.Feature]:
    """The features that are off, by such a change or among the sites."""
    own = [site for change in own_changes(e, sae) for site in change.sites.sites]
    named = (*own, *off_now(e))
    return {one for one in named if isinstance(one, engine.Feature) and one.layer == sae.layer}


def buttons(
    e: engine.Experiment,
    sae: engine.Sae,
    features: Sequence[engine.Feature],
    which: str,
    becomes: engine.Method = AT_0,
    references: tuple[str, ...] = (),
) -> None:
    """Draw what can be done with features, which are called `which`: what they, or all others,
    become, and the prompts that a mean is over."""
    keep, why = _kept(e, sae, features, becomes, references)
    off = None
    if features:
        off = engine.switch_off_features(sae, features, e.positions, becomes)
    become = "0" if becomes == AT_0 else "their mean over the pairs, the references of the link"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            f"Switch {which} off",
            key="_features_off",
            disabled=off is None,
            icon=":material/toggle_off:",
            on_click=_become,
            args=(sae, off, references),
            help=f"A further change, {becomes} f3.12 …, in the place of the one these buttons made "
            f"before: it is on every page and in the link. They become {become}.",
        )
        st.button(
            f"Keep only {which}",
            key="_features_kept",
            disabled=keep is None,
            icon=":material/filter_alt:",
            on_click=_become,
            args=(sae, keep, references),
            help=f"All other features of the SAE become {become}, its error stays.",
        )
        if own_changes(e, sae):
            st.button(
                "Let all be",
                key="_features_let",
                icon=":material/undo:",
                on_click=_become,
                args=(sae, None),
            )
    if why:
        st.caption(plain(why))


def _kept(
    e: engine.Experiment,
    sae: engine.Sae,
    features: Sequence[engine.Feature],
    becomes: engine.Method,
    references: tuple[str, ...],
) -> tuple[engine.Change | None, str]:
    """The change that keeps only these, or why there is none."""
    if not features:
        return None, ""
    try:
        change = engine.keep_features(sae, features, e.positions, becomes)
    except engine.EngineError as wrong:
        return None, str(wrong)
    if (n := len(str(change)) + sum(map(len, references))) > MOST_LETTERS:
        return None, (
            f"To keep only these takes {n:,} letters in the link, and more than "
            f"{MOST_LETTERS:,} are cut by many programs, so it is not written."
        )
    return change, ""


def _become(
    sae: engine.Sae, change: engine.Change | None, references: tuple[str, ...] = ()
) -> None:
    """Have this change in the place of those that switch features of the SAE off, with its
    references if it has some; a callback."""
    name_sae(sae)
    if references:
        state.fill_in(engine.Experiment(references=references), ("references",))
    others = [one for one in state.read().experiment.changes if not _is_own(one, sae)]
    state.set_changes([*others, *([] if change is None else [change])])


def _is_own(change: engine.Change, sae: engine.Sae) -> bool:
    sites = change.sites.sites
    averages = change.becomes.kind.takes == "references"
    return (averages or change.becomes == AT_0) and all(
        isinstance(one, engine.Feature) and one.layer == sae.layer for one in sites
    )
