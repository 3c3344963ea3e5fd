"""The experiment's widgets around every page: model and method at the side, prompt on top."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from urllib.parse import urlencode

import streamlit as st

import engine
from pages._parts import refusals, state, undo, work
from pages._parts.assets import ASSETS
from pages._parts.certificate import certificate
from pages._parts.layout import held
from pages._parts.text import plain

EXAMPLES = {e["name"]: e for e in json.loads((ASSETS / "prompts.json").read_text("utf-8"))}
VERBS = {"ablate": "Ablate these", "keep": "Keep only these"}
_SHARE = "share"
_CALLED_OFF = "_load_called_off"
_SOON = 10
"""Twentieths of a second for which a load goes without a bar."""
METHODS = {kind.word: kind.definition for kind in engine.Kind if kind.takes != "vector"}
"""What becomes of the sites; what takes a direction is written among the further changes."""


@contextmanager
def shown() -> Iterator[bool]:
    """Draw the form, let the page follow, then write the link. Yields: whether there is a model."""
    wrong = state.adopt_link()
    state.settle()
    with st.sidebar:
        _model()
        _ablation()
        _further_changes()
        _prompts_to_compare()
    _prompt()
    reading = state.read()
    model = st.session_state["_shape"]
    missing = (str(model),) if isinstance(model, engine.EngineError) else ()
    with held(wrong or missing or not reading.whole):
        for sentence in wrong:
            st.warning(plain(sentence))
        for sentence in (*reading.errors, *missing):
            st.error(plain(sentence))
        refusals.unread(reading)
    with st.sidebar:
        _share(reading.experiment)
    if reading.whole:
        undo.remember(reading.experiment)
    cut_off = True
    try:
        yield not missing
        cut_off = False
    finally:
        state.end(reading, cut_off)


def quick(part: Callable[[state.Reading], None], follows: bool = False) -> None:
    """Draw a part of a page that its own widgets run anew alone, so that a click sends no more;
    and that `follows` work, drawn anew every so often while any goes on.

    Where what is told outside of it would no longer be true, the whole page follows.
    """
    wrong, runs = bool(state.wrong_link()) or not state.read().whole, count()
    aside = state.aside()
    polls = follows and work.is_going()

    @st.fragment(run_every=work.EVERY if polls and not wrong else None)
    def run() -> None:
        alone = next(runs) > 0
        if alone:
            state.recall()
        reading = state.read()
        told = aside == state.aside() and not st.session_state.get(_SHARE)
        if alone and (wrong or not reading.whole or not told):
            state.run_anew()
        if alone:
            state.settle()
            undo.remember(reading.experiment)
        if reading.whole:
            state.write_link(reading.experiment)  # a part that runs the page anew takes it along
        part(reading)
        if follows and polls != work.is_going():
            state.run_anew()
        if alone:
            state.settle()
            state.carry(alone=True)

    run()


def model_shape() -> engine.Shape:
    """The shape of the model chosen, which the form has loaded."""
    return st.session_state["_shape"]


def _model() -> None:
    infos = {m.name: m for m in engine.models()}
    chosen = st.session_state["model"]
    st.selectbox(
        "Model",
        list(infos) if chosen in infos else [*infos, chosen],
        key="model",
        format_func=lambda name: _called(infos.get(name), name),
        accept_new_options=True,
        help="A bundled model, one of the catalogue (fetched when it is picked), a Hugging Face "
        "hub name such as gpt2, a directory or a GGUF file on this machine. Type to add one. Only "
        "safetensors and GGUF are read; no code from a model is run.",
    )
    _load(st.session_state["model"] or "")
    st.segmented_control(
        "BOS",
        list(state.BOS),
        key="bos",
        required=True,
        help="Whether a beginning-of-sequence token stands before the prompt; auto is what the "
        "tokenizer does by itself.",
    )


def _called(info: engine.ModelInfo | None, name: str) -> str:
    """A model as the picker has it: one that has to be fetched first says so."""
    return f"{name} (fetched when first picked)" if info is not None and not info.here else name


def _load(name: str) -> None:
    """Load the model and caption it; what goes wrong is kept, to be told on the page."""
    ss = st.session_state
    if ss.get(_CALLED_OFF) == name:
        ss["_shape"] = engine.Cancelled(f"Loading {name} was called off.")
        st.button("Load it", on_click=ss.pop, args=(_CALLED_OFF, None))
        return
    ss.pop(_CALLED_OFF, None)
    try:
        question = engine.begin(engine.Load(name), f"{state.view()} model")
        _follow(question, name)
        model = question.result()
    except engine.EngineError as wrong:
        ss["_shape"] = wrong
        return
    info, shape = model.info, model.shape
    ss["_shape"] = shape
    grouped = f" over {shape.n_key_value_heads}" if shape.n_key_value_heads < shape.n_heads else ""
    n = shape.n_layers - len(shape.without_heads)
    times, hybrid = (",", f" in {n} of them") if shape.without_heads else (" ×", "")
    st.caption(
        f"{info.architecture}, {shape.n_layers} layers{times} {shape.n_heads} "
        f"heads{grouped}{hybrid}, "
        f"d_model {shape.d_model}, {info.dtype} on {info.device}"
    )
    certificate(model.certificate)


def _follow(question: engine.Work[Any, Any], name: str) -> None:
    """Show how far a load is until it is over, and let it be called off."""
    with st.spinner(plain(f"Loading {name}…"), show_time=True):
        place, waits = st.empty(), 0
        while not question.done:
            time.sleep(0.05)
            waits += 1
            if waits == _SOON:
                box = place.container()
                bar = box.empty()
                box.button("Call off", on_click=_call_off, args=(question, name))
            if waits >= _SOON:
                bar.progress(question.progress, plain(question.doing))
        place.empty()


def _call_off(question: engine.Work[Any, Any], name: str) -> None:
    question.cancel()
    st.session_state[_CALLED_OFF] = name


def _ablation() -> None:
    st.subheader("Ablation")
    st.segmented_control(
        "Sites named are",
        list(VERBS),
        key="verb",
        required=True,
        format_func=VERBS.__getitem__,
        label_visibility="collapsed",
    )
    if st.session_state["verb"] == "keep":
        st.checkbox("MLPs not named are off too", key="mlps")
    st.selectbox(
        "Method",
        list(METHODS),
        key="method",
        help="\n\n".join(f"**{word}**: {definition}." for word, definition in METHODS.items()),
    )
    if st.session_state["method"] in ("scale", "set"):
        st.number_input(
            "By" if st.session_state["method"] == "scale" else "To", key="number", format="%g"
        )
    st.text_input(
        "Positions",
        key="positions",
        help="all, prompt, generated, or indices and ranges such as 0-3,5,-1, counted over the "
        "tokens shown. Clicking tokens sets this too.",
    )


def _further_changes() -> None:
    with st.expander("Further changes", expanded=bool(st.session_state["changes"])):
        st.text_area(
            "Further changes",
            key="changes",
            placeholder="scale(0.5) m2\nresample 5.1.q @3",
            label_visibility="collapsed",
            help="One a line, made in this order after the sites above: a method, its sites, and "
            "behind an @ the positions, where they are not all. zero 9.1 m9, scale(0.5) n5.123 "
            "@prompt, resample 5.1.q @3, set(0) r4.mid, mean keep 9.1 m2; with a direction of the "
            "link, add(ordinals, 4) r5 and project(ordinals) m5.",
        )


def _prompts_to_compare() -> None:
    words = [st.session_state["method"], *(st.session_state["changes"] or "").split()]
    needs = not {"mean", "mean_by_position", "resample"}.isdisjoint(words)
    with st.expander("Corrupted and reference prompts", expanded=needs):
        st.text_input("Corrupted prompt", key="corrupted", help="Used by resample.")
        st.text_area(
            "Reference prompts",
            key="references",
            help="One a line, \\n for a line break. mean and mean_by_position average over these; "
            "without any, over the corrupted prompt.",
        )


def _prompt() -> None:
    st.pills(
        "Examples",
        list(EXAMPLES),
        key="_example",
        on_change=_take_example,
        label_visibility="collapsed",
    )
    left, right = st.columns([3, 2], vertical_alignment="top")
    left.text_area("Prompt", key="prompt", height=72)
    answer, distractor = right.columns(2)
    answer.text_input(
        "Answer", key="answer", help="Scored right after the prompt: a leading space counts."
    )
    distractor.text_input(
        "Distractor", key="distractor", help="What the answer is compared with, such as ` 4`."
    )


def _take_example() -> None:
    example = EXAMPLES.get(st.session_state["_example"])
    if example is not None:
        for name in ("prompt", "answer", "distractor", "corrupted"):
            st.session_state[name] = example[name]
        st.session_state["references"] = "\n".join(example["references"])
        st.session_state["positions"] = "all"
    st.session_state["_example"] = None


def _share(e: engine.Experiment) -> None:
    box = st.expander("Link, JSON, Python", key=_SHARE, on_change="rerun")
    if not box.open:
        return
    with box:
        base = (st.context.url or "").split("?")[0]
        st.caption("This view")
        query = urlencode(state.link(e), errors="surrogatepass")
        st.code(f"{base}?{query}", language=None, wrap_lines=True)
        st.caption("The experiment")
        st.code(e.to_json(), language="json", wrap_lines=True)
        st.code(
            f"import switchboard as engine\n\ne = {e.to_python()}",
            language="python",
            wrap_lines=True,
        )
