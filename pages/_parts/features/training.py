"""An SAE trained on the spot, with its curves as they grow."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import whole, written
from pages._parts.experiment_form import model_shape
from pages._parts.features.choosing import note_sae, use_sae
from pages._parts.features.health import texts_form
from pages._parts.figure import figure
from pages._parts.layout import errors_shown
from pages._parts.table import as_csv
from pages._parts.text import percent, plain

KEY, _ASKED = "_sae_training", "_sae_training_asked"
_PROMPTS = 200


def train(reading: state.Reading) -> None:
    """The whole view: what is asked, a button that begins it, and how it goes."""
    e = reading.experiment
    with errors_shown():
        middle = f"r{model_shape().n_layers // 2}"
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            st.text_input("Site", key="sae_site", placeholder=middle, width=90)
            st.text_input("Times the width", key="sae_expansion", width=120)
            st.text_input("On at a token", key="sae_k", width=110)
            st.text_input("Tokens", key="sae_tokens", width=110)
            st.text_input("Seed", key="sae_seed", width=70)
        texts = texts_form(_PROMPTS)
        question = _question(e, middle, texts)
        st.button(
            "Train",
            on_click=_begin,
            args=(question,),
            disabled=question is None,
            type="primary",
            icon=":material/model_training:",
        )
    with errors_shown():
        _going()


def _question(e: engine.Experiment, middle: str, texts: tuple[str, ...]) -> engine.TrainSae | None:
    if not any(text.strip() for text in texts):
        st.info("Paste a text, or upload one, to train on it.")
        return None
    return engine.TrainSae(
        e.model,
        written("sae_site") or middle,
        texts,
        whole("sae_expansion", "Times the width"),
        whole("sae_k", "On at a token"),
        whole("sae_tokens", "Tokens"),
        seed=whole("sae_seed", "Seed"),
    )


def _begin(question: engine.TrainSae) -> None:
    work.forget(KEY)
    st.session_state[_ASKED] = question


def _going() -> None:
    """How the training under way goes, or went."""
    question: engine.TrainSae | None = st.session_state.get(_ASKED)
    if question is None:
        st.caption(
            "A top-k SAE (Gao et al. 2024): what passes at the site in these texts is learnt from "
            "in random order, over and over. Few texts are learnt by heart."
        )
        return
    result: engine.SaeTraining | None = work.ask(KEY, question).result
    left = None if result is None else result.seconds_left
    work.progress(KEY, f"{left:.0f} s left" if left else "", stopped="Stopped: nothing is kept.")
    if result is None or not result.tokens.size:
        return
    figure(
        result.figure(),
        "sae-training",
        csv=as_csv(result.table()),
        python=f"import switchboard as engine\n\nresult = {_python(question)}\n"
        "print(result.sae, result.unexplained[-1])\n",
        key="training_figure",
    )
    st.caption(
        plain(
            f"{result.d_sae:,} features, {result.k} on at a token; learnt from "
            f"{int(result.tokens[-1]):,} of {result.n_tokens:,} tokens, of {result.n_read:,} that "
            "the texts have. Variance left: "
            f"{percent(float(result.unexplained[-1]))} of the last batch; on at none of the last "
            f"ten batches' tokens: {percent(float(result.dead[-1]))} of the features. "
            f"{result.ended}"
        )
    )
    if result.sae is not None:
        note_sae(result.sae)
        st.button(
            f"Look at {result.sae.name}, {result.sae.site}",
            on_click=_look,
            args=(result.sae,),
            icon=":material/arrow_forward:",
        )


def _look(sae: engine.Sae) -> None:
    use_sae(sae)
    st.session_state["features_show"] = "health"


def _python(question: engine.TrainSae) -> str:
    if sum(map(len, question.texts)) < 4_000:
        return question.to_python()
    return question.to_python(texts="[open('text.txt').read()]")
