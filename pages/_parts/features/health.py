"""How healthy an SAE is, before anything else is made of it."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import choice
from pages._parts.features.fields import TEXTS
from pages._parts.figure import figure
from pages._parts.layout import errors_shown
from pages._parts.pairs_form import TASK
from pages._parts.table import as_csv, python_for
from pages._parts.text import percent, plain
from pages._parts.texts import chosen_texts

KEY = "_sae_health"
IN = {"families": "Every family", "family": "A family", "written": "A text of your own"}
_PROMPTS, _MOST_WRITTEN = 20, 4_000


def texts_form(n: int) -> tuple[str, ...]:
    """The texts that are read, with the boxes that say which."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        choice("Read", TEXTS.name, IN)
        if st.session_state[TEXTS.name] == "family":
            st.selectbox("Family", TASK.values, key="task", width=185)
    return chosen_texts(st.session_state[TEXTS.name], n)


def health(reading: state.Reading, sae: engine.Sae) -> None:
    """The whole view: the verdict, the numbers, how often features are on."""
    e = reading.experiment
    with errors_shown():
        texts = texts_form(_PROMPTS)
        if not any(texts):
            st.info("Paste a text, or upload one, to measure the SAE on it.")
            return
        question = engine.MeasureSae(e.model, sae, texts)
        result = work.ask(KEY, question).result
        work.progress(KEY, "window by window")
        if result is None or result.sae != sae or not result.n_tokens:
            return
        _numbers(result)
        if result.done:
            (st.warning if result.sick else st.success)(plain(result.verdict))
        if work.is_over(KEY):  # to draw at each look slows the work down
            _drawn(result, question)


def _numbers(result: engine.SaeHealth) -> None:
    """What it keeps of the activation and of the model's own text."""
    with st.container(horizontal=True):
        for label, value, help in (
            ("L0", f"{result.l0:.1f}", "features above 0 at a token, on average"),
            ("Dead", percent(result.dead), "features on at none of these tokens"),
            (
                "Variance explained",
                percent(result.explained),
                "1 − Σ ‖x − x̂‖² / Σ ‖x − mean‖²; the rest is its error, which no feature changes",
            ),
            ("Cosine", f"{result.cosine:.3f}", "of x and what the SAE makes of it, mean"),
            (
                "Loss recovered",
                percent(result.recovered),
                f"of {result.zero_loss:.3f} nats a token with 0 there, {result.spliced_loss:.3f} "
                f"with the SAE in place, {result.clean_loss:.3f} clean",
            ),
            ("KL(clean ‖ spliced)", f"{result.kl:.3f}", "nats a token"),
        ):
            st.metric(label, value, help=plain(help), width="content")


def _drawn(result: engine.SaeHealth, question: engine.MeasureSae) -> None:
    """How often features are on, with the downloads."""
    short = sum(map(len, question.texts)) < _MOST_WRITTEN
    whole = question.to_python().removeprefix("engine.")
    call = f"measure_sae({question.model!r}, {str(result.sae)!r}, open('text.txt').read())"
    figure(
        result.figure(),
        f"sae-{result.sae.name}",
        csv=as_csv(result.table()),
        python=python_for(whole if short else call),
        key="sae_health_figure",
    )
    st.caption(
        plain(
            f"How many of {len(result.density):,} features are on at which share of "
            f"{result.n_tokens:,} tokens. The loss is {result.clean_loss:.3f} nats a token clean, "
            f"{result.spliced_loss:.3f} with what the SAE makes of {result.sae.site} in its place, "
            f"{result.zero_loss:.3f} with 0 there. Of few tokens many features are rare and not "
            "dead; and that a feature means something is not shown by any of this."
        )
    )
