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


def own_changes(e: engine.Experiment, sae: engine.Sae) -> list[engine.Change]:
    """The changes that only switch features of this SAE off."""
    return [change for change in e.changes if _is_own(change, sae)]


def features_off(e: engine.Experiment, sae: engine.Sae) -> set[engine.Feature]:
    """The features that are off, by such a change or among the sites."""
    own = [site for change in own_changes(e, sae) for site in change.sites.sites]
    named = (*own, *off_now(e))
    return {one for one in named if isinstance(one, engine.Feature) and one.layer == sae.layer}


def buttons(
    e: engine.Experiment, sae: engine.Sae, features: Sequence[engine.Feature], which: str
) -> None:
    """Draw what can be done with features, which are called `which`."""
    keep, why = _kept(e, sae, features)
    off = engine.switch_off_features(sae, features, e.positions) if features else None
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            f"Switch {which} off",
            key="_features_off",
            disabled=off is None,
            icon=":material/toggle_off:",
            on_click=_become,
            args=(sae, off),
            help="A further change, zero f3.12 …, in the place of the one these buttons made "
            "before: it is on every page and in the link.",
        )
        st.button(
            f"Keep only {which}",
            key="_features_kept",
            disabled=keep is None,
            icon=":material/filter_alt:",
            on_click=_become,
            args=(sae, keep),
            help="All other features of the SAE become 0, its error stays.",
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
    e: engine.Experiment, sae: engine.Sae, features: Sequence[engine.Feature]
) -> tuple[engine.Change | None, str]:
    """The change that keeps only these, or why there is none."""
    if not features:
        return None, ""
    try:
        change = engine.keep_features(sae, features, e.positions)
    except engine.EngineError as wrong:
        return None, str(wrong)
    if len(str(change)) > MOST_LETTERS:
        return None, (
            f"To keep only these takes {len(str(change)):,} letters in the link, and more than "
            f"{MOST_LETTERS:,} are cut by many programs, so it is not written."
        )
    return change, ""


def _become(sae: engine.Sae, change: engine.Change | None) -> None:
    """Have this change in the place of those that switch features of the SAE off; a callback."""
    name_sae(sae)
    others = [one for one in state.read().experiment.changes if not _is_own(one, sae)]
    state.set_changes([*others, *([] if change is None else [change])])


def _is_own(change: engine.Change, sae: engine.Sae) -> bool:
    sites = change.sites.sites
    return change.becomes == engine.Method() and all(
        isinstance(one, engine.Feature) and one.layer == sae.layer for one in sites
    )
