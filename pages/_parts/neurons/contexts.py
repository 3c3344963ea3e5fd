"""Where in a text a neuron or a feature is strong, and what it is forced to there."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.figure import figure
from pages._parts.neurons.switching import Unit, change_to, changed_now, off_now
from pages._parts.refusals import answered
from pages._parts.table import Rows, as_csv, python_for, rounded, show_rows
from pages._parts.text import percent, plain, signed, visible

KEY = "_contexts"
_FORCED = {0.5: "the median", 0.95: "the 95% quantile", 1.0: "the greatest"}
_MOST_WRITTEN = 4_000


def contexts(
    reading: state.Reading,
    unit: Unit,
    question: engine.FindContexts | engine.FindFeatureContexts | None,
    call: str,
    sae: engine.Sae | None = None,
) -> None:
    """Draw its strongest contexts, how its activations lie, and buttons that change it. `question`:
    None without a text. `call`: how the Python begins that asks it of a long text. `sae`: whose
    feature it is."""
    st.subheader("In a text", anchor=False)
    if question is None:
        what = "neuron" if sae is None else "feature"
        st.info(f"Paste a text, or upload one, to see where the {what} is strong.")
        _force(reading, unit, None, sae)
        return
    result = work.ask(KEY, question).result
    work.progress(KEY, "window by window", again="Go on", stopped="Stopped.", anew=work.go_on)
    if result is None or result.neuron != unit:
        return
    _force(reading, unit, result, sae)
    shown: Rows = [
        {
            "activation": rounded(one.activation),
            "before": visible(one.before).replace("␣", " "),
            "token": visible(one.token),
            "after": visible(one.after).replace("␣", " "),
        }
        for one in result.contexts
    ]
    show_rows(shown, 330)
    st.caption(
        plain(
            f"The strongest token of each window ({result.n_windows:,}), {result.n_tokens:,} "
            f"tokens in all, of the clean model; above 0 at {percent(result.active)} of them."
        )
    )
    short = sum(map(len, question.texts)) < _MOST_WRITTEN
    whole = question.to_python().removeprefix("engine.")
    figure(
        result.figure(),
        f"contexts-{unit}",
        csv=as_csv(result.table()),
        python=python_for(whole if short else f"{call}open('text.txt').read())"),
        key="contexts_figure",
    )


def _force(
    reading: state.Reading,
    unit: Unit,
    result: engine.NeuronContexts | None,
    sae: engine.Sae | None,
) -> None:
    """Buttons that silence it or force it to a quantile, and what comes of it here."""
    e = reading.experiment
    own = [str(change) for change in changed_now(e, unit)]
    if unit in off_now(e):
        own.append(f"off among the sites ({e.method})")
    with st.container(horizontal=True, gap="small"):
        silence = ("zero", unit, sae)
        st.button("Silence", on_click=change_to, args=silence, icon=":material/mic_off:")
        if result is not None:
            for share, name in _FORCED.items():
                method = str(result.forced(share).becomes)
                st.button(
                    f"Force to {name}",
                    help=f"{method}, one of the further changes at the side",
                    key=f"_force {share}",
                    on_click=change_to,
                    args=(method, unit, sae),
                )
        if changed_now(e, unit):
            st.button("Let it be", on_click=change_to, args=("", unit), icon=":material/undo:")
    st.caption(plain(f"Now: {'; '.join(own)}." if own else "Now as the model has it."))
    if sae is None:
        what_comes_next(reading)


def what_comes_next(reading: state.Reading) -> engine.Experiment | None:
    """Draw a sentence: what the model says after the prompt, clean and with every change there is.
    Returns: the experiment as it was run; None where there is nothing to run."""
    if not reading.experiment.prompt or reading.errors:
        return None
    ranked = answered(reading, lambda e: engine.next_token(e, k=1, view=f"{state.view()} next"))
    clean, ablated = ranked.result.clean, ranked.result.ablated
    sentence = f"After this prompt clean “{visible(clean.texts[0])}”"
    if ranked.e.every_change:
        sentence += f", with every change there is “{visible(ablated.texts[0])}”"
    if (diff := ranked.result.clean_logit_diff) is not None:
        sentence += f"; logit difference {signed(diff, 3)}"
        other = ranked.result.ablated_logit_diff
        if ranked.e.every_change and other is not None:
            sentence += f" → {signed(other, 3)}"
    st.caption(plain(sentence + "."))
    return ranked.e
