"""The features that are on in the prompt, by position, each a switch."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state
from pages._parts.boxes import choice, whole
from pages._parts.features.fields import RUN
from pages._parts.figure import figure
from pages._parts.layout import errors_shown
from pages._parts.neurons.switching import chips, off_now
from pages._parts.table import Rows, as_csv, python_for, rounded, show_rows
from pages._parts.text import percent, plain, visible

_PROMOTED = 4


def on_prompt(e: engine.Experiment, made: engine.Experiment, sae: engine.Sae) -> None:
    """The whole view: chips, what each is, and the map over positions. `made`: the experiment as it
    can be run."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        choice("Run", "run", {name: name.capitalize() for name in RUN.values})
        st.text_input("Features", key="features_shown", width=85)
    result = None
    with errors_shown():
        k = whole("features_shown", "Features")
        result = engine.active_features(made, sae, k, view=f"{state.view()} active")
    if result is None:
        return
    if not result.features:
        st.info("No feature of it is on anywhere in this prompt.")
        return
    left, right = st.columns([1, 1.1], gap="medium")
    with left, errors_shown():
        chips(e, result.features, "A click switches a feature off", sae)
        _table(e, sae, result)
    with right:
        figure(
            result.figure(st.session_state["run"]),
            f"features-{sae.name}",
            csv=as_csv(result.table()),
            python=python_for(f"active_features({made.to_python()}, {str(sae)!r}, {k})"),
            key="active_figure",
        )
    first = int(result.tokens.bos and len(result.tokens) > 1)
    st.caption(
        plain(
            f"Activations of {len(result.features)} features, those strongest at each token"
            f"{', a BOS left out' if first else ''}, as “{sae.name}” reads {sae.site}. On at a "
            f"token: {result.n_on[first:].mean():.1f} on average; at the last, the SAE explains "
            f"{percent(float(result.explained[-1]))} of what is there. Promotes: the tokens that a "
            "unit of it would raise most, by its direction, the final norm and the unembedding "
            "alone. To switch one off takes f · d away and leaves the SAE's error as it is."
        )
    )


def _table(e: engine.Experiment, sae: engine.Sae, result: engine.ActiveFeatures) -> None:
    """What each is: where it is strongest, how strong, what it promotes."""
    says = engine.feature_tokens(
        e.model, sae, result.features, _PROMOTED, view=f"{state.view()} promoted"
    )
    off, rows = set(off_now(e)), Rows()
    for feature, values in zip(result.features, result.clean, strict=True):
        at = int(values.argmax())
        rows.append(
            {
                "feature": str(feature),
                "off": feature in off,
                "strongest at": f"{at} {visible(result.tokens.texts[at])}",
                "activation": rounded(float(values[at])),
                "promotes": "  ".join(visible(text) for text in says[feature].top_texts),
            }
        )
    show_rows(rows)
