"""One neuron: what it says and reads, where in a text it is strong, and how it is forced."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import choice, written
from pages._parts.figure import figure
from pages._parts.neurons.ranked import first_neuron
from pages._parts.neurons.switching import change_to, changed_now, off_now, told
from pages._parts.pairs_form import TASK
from pages._parts.refusals import answered
from pages._parts.table import Rows, as_csv, downloads, python_for, rounded
from pages._parts.text import percent, plain, uploaded, visible

CONTEXTS = "_contexts"
_IN = {"family": "A family's prompts", "written": "A text of your own"}
_MOST_PROMPTS, _TOKENS = 60, 10
_FORCED = {0.5: "the median", 0.95: "the 95% quantile", 1.0: "the greatest"}


def one(reading: state.Reading) -> None:
    """The whole view: which neuron, its tokens, and its contexts with what can be done with it."""
    e = reading.experiment
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        best = "" if written("neuron") else first_neuron(e)
        st.text_input(
            "Neuron",
            key="neuron",
            placeholder=best,
            width=160,
            help="n9.123 is neuron 123 of layer 9; empty, the first on this prompt by estimate.",
        )
        choice("Contexts in", "contexts_in", _IN)
        if st.session_state["contexts_in"] == "family":
            st.selectbox("Family", TASK.values, key="task", width=185)
    with told():
        says = engine.neuron_tokens(
            e.model, written("neuron") or best, _TOKENS, view=f"{state.view()} tokens"
        )
        left, right = st.columns([1 + 0.3 * (len(says.reads) > 1), 1], gap="medium")
        with left:
            _tokens(e, says)
        with right, told():
            _contexts(reading, says.neuron)


def _tokens(e: engine.Experiment, says: engine.NeuronTokens) -> None:
    """The tokens it promotes and demotes, and those it is moved by."""
    st.subheader(f"{says.neuron}, by its weights", anchor=False)
    names = {"promotes": "promotes", "in": "read by “in”", "gate": "read by the gate"}
    if len(says.reads) == 1:
        names["in"] = "moved by"
    columns: dict[str, list[object]] = {}
    for name, numbers in {"promotes": says.promotes, **says.reads}.items():
        columns[names[name]] = [visible(text) for text in numbers.top_texts]
        columns[f"{'+' if name == 'promotes' else '↑'} {name}"] = _rounded(numbers.top)
    st.dataframe(columns, hide_index=True, height="content")
    st.caption("And at the other end: demoted, and moved down by.")
    other: dict[str, list[object]] = {}
    for name, numbers in {"demotes": says.promotes, **says.reads}.items():
        other[names.get(name, name)] = [visible(text) for text in numbers.bottom_texts]
        other[f"{'−' if name == 'demotes' else '↓'} {name}"] = _rounded(numbers.bottom)
    st.dataframe(other, hide_index=True, height="content")
    st.caption(
        plain(
            "Promotes: logits above their mean over all tokens per unit of activation, in a stream "
            f"of size 1 (spread over all {says.n_tokens:,} tokens {says.promotes.spread:.2f}). "
            "Moved by: what it reads, before its activation function, of a token's embedding alone "
            "behind the layer's norm; with a gate, the activation is f(gate) × in. Of the weights "
            "alone: later layers hold more than the token. " + " ".join(says.notes)
        )
    )
    downloads(
        says.table(),
        f"neuron-{says.neuron}",
        python_for(f"neuron_tokens({e.model!r}, {str(says.neuron)!r}, {_TOKENS})"),
    )


def _rounded(values: object) -> list[object]:
    return [round(float(value), 2) for value in values]  # type: ignore[attr-defined]


def _contexts(reading: state.Reading, neuron: engine.Neuron) -> None:
    """Its strongest contexts in a text, how its activations lie there, and what it is forced to."""
    e = reading.experiment
    st.subheader("In a text", anchor=False)
    texts = _texts()
    if not any(texts):
        st.info("Paste a text, or upload one, to see where the neuron is strong.")
        _force(reading, neuron, None)
        return
    question = engine.FindContexts(e.model, neuron, texts)
    result = work.ask(CONTEXTS, question).result
    work.progress(CONTEXTS, "window by window", again="Go on", stopped="Stopped.", anew=work.go_on)
    if result is None or result.neuron != neuron:
        return
    _force(reading, neuron, result)
    shown: Rows = [
        {
            "activation": rounded(one.activation),
            "before": visible(one.before).replace("␣", " "),
            "token": visible(one.token),
            "after": visible(one.after).replace("␣", " "),
        }
        for one in result.contexts
    ]
    st.dataframe(shown, hide_index=True, height=min(330, 38 + 35 * len(shown)))
    st.caption(
        plain(
            f"The strongest token of each window ({result.n_windows:,}), {result.n_tokens:,} "
            f"tokens in all, of the clean model; above 0 at {percent(result.active)} of them."
        )
    )
    figure(
        result.figure(),
        f"contexts-{neuron}",
        csv=as_csv(result.table()),
        python=python_for(
            question.to_python().removeprefix("engine.")
            if sum(map(len, texts)) < 4000
            else f"neuron_contexts({e.model!r}, {str(neuron)!r}, open('text.txt').read())"
        ),
        key="contexts_figure",
    )


def _texts() -> tuple[str, ...]:
    """The texts chosen: a family's prompts, or what is pasted or uploaded."""
    if st.session_state["contexts_in"] == "family":
        family = st.session_state["task"]
        return tuple(one.prompt for one in engine.examples(family, _MOST_PROMPTS))
    st.text_area("Text", key="context_text", height=110)
    file = st.file_uploader(
        "or a file",
        type=["txt"],
        key="context_file",
        help="Plain text in UTF-8; a file is not part of the link.",
        max_upload_size=2,
    )
    text = uploaded(file) if file is not None else st.session_state["context_text"] or ""
    return (text,) if text.strip() else ()


def _force(
    reading: state.Reading, neuron: engine.Neuron, result: engine.NeuronContexts | None
) -> None:
    """Buttons that silence the neuron or force it to a quantile, and what comes of it here."""
    e = reading.experiment
    own = [str(change) for change in changed_now(e, neuron)]
    if neuron in off_now(e):
        own.append(f"off among the sites ({e.method})")
    with st.container(horizontal=True, gap="small"):
        st.button("Silence", on_click=change_to, args=("zero", neuron), icon=":material/mic_off:")
        if result is not None:
            for share, name in _FORCED.items():
                method = str(result.forced(share).becomes)
                st.button(
                    f"Force to {name}",
                    help=f"{method}, one of the further changes at the side",
                    key=f"_force {share}",
                    on_click=change_to,
                    args=(method, neuron),
                )
        if changed_now(e, neuron):
            st.button("Let it be", on_click=change_to, args=("", neuron), icon=":material/undo:")
    st.caption(plain(f"Now: {'; '.join(own)}." if own else "Now as the model has it."))
    if not e.prompt or reading.errors:
        return
    ranked = answered(reading, lambda e: engine.next_token(e, k=1, view=f"{state.view()} next"))
    clean, ablated = ranked.result.clean, ranked.result.ablated
    sentence = f"After this prompt clean “{visible(clean.texts[0])}”"
    if ranked.e.every_change:
        sentence += f", with every change there is “{visible(ablated.texts[0])}”"
    if (diff := ranked.result.clean_logit_diff) is not None:
        sentence += f"; logit difference {diff:+.3f}"
        other = ranked.result.ablated_logit_diff
        if ranked.e.every_change and other is not None:
            sentence += f" → {other:+.3f}"
    st.caption(plain(sentence.replace("-", "−") + "."))
