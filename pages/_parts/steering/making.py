"""A direction made: of what, its numbers beside the stream and the others, its files."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import streamlit as st

import engine
from pages._parts import state
from pages._parts.boxes import choice, written
from pages._parts.experiment_form import model_shape
from pages._parts.features.choosing import known_saes
from pages._parts.figure import figure
from pages._parts.layout import errors_shown
from pages._parts.steering.fields import BY, LENGTH, READ
from pages._parts.steering.using import keep
from pages._parts.table import Rows, as_csv, python_for, show_rows
from pages._parts.text import plain, unescaped

_OF = {
    "prompts": "Prompts",
    "head": "A head",
    "unembedding": "An unembedding",
    "feature": "A feature",
    "file": "A file",
}
_SAE = "_vector_sae_chosen"
_BY = {"mean": "difference of means", "pca": "first principal component"}
_READ = {"last": "last token", "mean": "mean over tokens"}
_LENGTHS = {"own": "as it is", "unit": "1"}
_NAMES = {
    "prompts": "difference", "head": "head", "unembedding": "token", "feature": "feature",
    "file": "file",
}  # fmt: skip
_FORMS = {"safetensors": "safetensors", "gguf": "GGUF (repeng)", "pt": "pt (steering-vectors)"}


def making(reading: state.Reading, chosen: engine.Direction | None) -> None:
    """The whole view: the form with what it makes at the left, at the right the direction chosen,
    else the one just made, beside the others and as a file."""
    e = reading.experiment
    left, right = st.columns([1, 1.25], gap="medium")
    made: Sequence[engine.Direction] = ()
    with left:
        st.subheader("Make a direction", anchor=False)
        try:
            made = _made(e)
            if made:
                _keep(e, made)
        except engine.EngineError as wrong:
            st.info(plain(wrong))
            made = ()
    shown = chosen or next(iter(made), None)
    if shown is not None:
        with right, errors_shown():
            _shown(e, shown, (*e.vectors, *(one for one in made if one not in e.vectors)))


def _made(e: engine.Experiment) -> Sequence[engine.Direction]:
    """Draw the form. Returns: what it makes, nothing while it is empty.

    Raises: EngineError for what cannot be made.
    """
    of = st.session_state["made_of"]
    choice("Made of", "made_of", _OF)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.text_input("Name", key="vector_name", placeholder=_NAMES[of], width=150)
        site = f"r{model_shape().n_layers // 2}"
        if of != "feature":  # whose site is its SAE's
            st.text_input(
                "Read at",
                key="vector_site",
                placeholder=site,
                width=85,
                help="A place of the residual stream (r5 enters layer 5, r5.mid lies between its "
                "attention and its MLP) or what an MLP writes into it (m5).",
            )
    name, at = written("vector_name") or _NAMES[of], written("vector_site") or site
    return _WAYS[of](e, name, at)


def _of_prompts(e: engine.Experiment, name: str, at: str) -> Sequence[engine.Direction]:
    plus = _lines("What it should bring, a prompt a line", "vector_plus", e.prompt)
    minus = _lines("less what is there without, a prompt a line", "vector_minus", e.corrupted)
    with st.container(horizontal=True, gap="small"):
        choice("By", BY.name, _BY)
        choice("Read at the", READ.name, _READ)
    if not (plus and minus):
        st.caption("Two prompts are enough: one of what it should bring, one of what is there.")
        return ()
    ss = st.session_state
    return [
        engine.Direction(name, at, engine.FromPrompts(plus, minus, ss["made_by"], ss["made_read"]))
    ]


def _lines(label: str, key: str, otherwise: str) -> list[str]:
    """The prompts written in a box, or the one that is taken where it is empty."""
    st.text_area(label, key=key, placeholder=otherwise, height=96)
    lines = [unescaped(line) for line in (st.session_state[key] or "").split("\n") if line]
    return lines or ([otherwise] if otherwise else [])


def _of_head(e: engine.Experiment, name: str, at: str) -> Sequence[engine.Direction]:
    shape = model_shape()
    first = shape.heads[-1] if shape.heads else engine.Head(0, 0)
    tokens = engine.tokenize(e.model, e.prompt, e.prepend_bos) if e.prompt else None
    last = tokens.texts[-1] if tokens else ""
    with st.container(horizontal=True, gap="small"):
        st.text_input("Head", key="vector_head", placeholder=str(first), width=95)
        st.text_input("looking at the token", key="vector_token", placeholder=last, width=150)
    token = st.session_state["vector_token"] or last
    if not token:
        st.caption("Write the token that the head looks at.")
        return ()
    head = written("vector_head") or first
    return [engine.Direction(name, at, engine.FromHead(head, token))]


def _of_unembedding(e: engine.Experiment, name: str, at: str) -> Sequence[engine.Direction]:
    with st.container(horizontal=True, gap="small"):
        st.text_input("Token", key="vector_token", placeholder=e.answer, width=150)
        st.text_input("less the token", key="vector_less", placeholder="none", width=150)
    token = st.session_state["vector_token"] or e.answer
    if not token:
        st.caption("Write the token whose logit it should raise.")
        return ()
    less = st.session_state["vector_less"] or ""
    return [engine.Direction(name, at, engine.FromUnembedding(token, less))]


def _of_feature(e: engine.Experiment, name: str, _at: str) -> Sequence[engine.Direction]:
    saes = {str(one): one for one in known_saes(e)}
    if written("vector_sae"):
        named = engine.Sae.parse(written("vector_sae"))
        saes.setdefault(str(named), named)
    if not saes:
        st.caption("No SAE of this model is here: read one, or train one, on the Features page.")
        return ()
    ss = st.session_state
    ss[_SAE] = now = written("vector_sae") or next(iter(saes))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox(
            "SAE",
            list(saes),
            key=_SAE,
            format_func=lambda text: f"{saes[text].name}, {saes[text].site}",
            width=190,
            on_change=_name_sae,
        )
        st.text_input("Feature", key="vector_feature", width=95, placeholder="12")
        choice("Length", LENGTH.name, _LENGTHS, help="As it is, its row of the decoder, c times it "
               "is what c more of the feature writes.")  # fmt: skip
    if not written("vector_feature"):
        st.caption(
            "Write the feature whose direction it is: the Features page has those there are."
        )
        return ()
    made = engine.FromFeature(saes[now], written("vector_feature"), ss[LENGTH.name])
    return [engine.Direction(name, made.sae.site, made)]


def _name_sae() -> None:
    """Take over which SAE is chosen; in a callback."""
    st.session_state["vector_sae"] = st.session_state[_SAE]


def steer_along(sae: engine.Sae, feature: engine.Feature) -> None:
    """Have a feature's direction in the experiment, as the form has it too, and steer with it; in a
    callback."""
    name, ss = str(feature).replace(".", "-"), st.session_state
    keep([engine.Direction(name, sae.site, engine.FromFeature(sae, feature))])
    ss["steering_show"], ss["made_of"], ss["vector_name"] = "direction", "feature", name
    ss["vector_sae"], ss["vector_feature"], ss[LENGTH.name] = str(sae), str(feature), "own"


def _of_file(e: engine.Experiment, name: str, at: str) -> Sequence[engine.Direction]:
    file = st.file_uploader(
        "safetensors, GGUF control vectors or torch files of numbers",
        type=["safetensors", "gguf", "pt"],
        key="vector_file",
        help="Only numbers are read. They are kept on this machine, and a link knows them by what "
        "they are.",
        max_upload_size=64,
    )
    if file is None:
        st.caption("Open a file of one or more directions.")
        return ()
    return engine.read_directions(file.getvalue(), written("vector_name"), at)


_WAYS: dict[str, Callable[[engine.Experiment, str, str], Sequence[engine.Direction]]] = {
    "prompts": _of_prompts,
    "head": _of_head,
    "unembedding": _of_unembedding,
    "feature": _of_feature,
    "file": _of_file,
}


def _keep(e: engine.Experiment, made: Sequence[engine.Direction]) -> None:
    """The length of what is made, with a button that has it in the experiment."""
    n, first = len(made), made[0]
    _length(engine.direction(e, first, (), view=f"{state.view()} made"))
    st.button(
        f"Keep all {n}" if n > 1 else f"Keep it as “{first.name}”",
        key="_keep",
        on_click=keep,
        args=(list(made),),
        disabled=all(one in e.vectors for one in made),
        type="primary",
        icon=":material/bookmark_add:",
        help="It then is a part of the experiment, on every page and in every link.",
    )


def _length(result: engine.DirectionValues) -> None:
    """How long a direction is, beside the stream."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.metric(
            "Norm",
            f"{result.norm:.3g}",
            help="L2: as far as a coefficient of 1 moves the stream.",
            width="content",
        )
        if math.isfinite(result.share):
            st.metric(
                f"of the stream's median at {result.direction.site}",
                f"{result.share:.2f} ×",
                help=f"The stream there is {result.stream_norm:.3g} long: the median over the "
                "tokens of the prompts it is made of, else of the prompt above. A mean would tell "
                "of the first token alone where that is far longer than all others.",
                width="content",
            )


def _shown(e: engine.Experiment, one: engine.Direction, every: Sequence[engine.Direction]) -> None:
    """A direction beside the others, with its files. Raises: EngineError for one that cannot be."""
    result = engine.direction(e, one, every, view=f"{state.view()} direction")
    st.subheader(f"{one.name}, at {one.site}", anchor=False)
    _length(result)
    rows: Rows = [
        {
            "direction": row["direction"],
            "site": row["site"],
            "made of": row["made of"],
            "norm": round(float(str(row["norm"])), 3),
            f"cosine with {one.name}": round(float(str(row["cosine"])), 3),
        }
        for row in result.table()
    ]
    show_rows(rows, 300)
    st.caption(
        plain(
            "Directions of different sites are compared as the vectors they are; random ones have "
            f"cosines within ±{2 / len(result.values) ** 0.5:.2f} nineteen times in twenty. None "
            "of this shows whether the model uses the direction: the map does."
        )
    )
    known = one in e.vectors
    if result.others:
        figure(
            result.figure(),
            f"direction-{one.name}",
            csv=as_csv(result.table()),
            python=python_for(f"direction({e.to_python()}, {one.name!r})") if known else "",
            key="direction_figure",
        )
    _files(result)


def _files(result: engine.DirectionValues) -> None:
    """The direction as a file of each form that can hold it."""
    with st.container(horizontal=True, gap="small"):
        for form, label in _FORMS.items():
            try:
                content = engine.write_directions(result, form)
            except engine.EngineError as wrong:
                st.button(label, key=f"_no_{form}", disabled=True, help=plain(wrong))
                continue
            st.download_button(
                label,
                content,
                f"{result.direction.name}.{form}",
                on_click="ignore",
                icon=":material/download:",
                key=f"_file_{form}",
            )
