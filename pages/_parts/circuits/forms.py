"""The library as a page shows it: what there is, and the ways to make, name, load and save."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

import engine
from pages._parts.circuits import library as shelf
from pages._parts.figure import figure
from pages._parts.layout import beside
from pages._parts.pairs_form import drawn_by
from pages._parts.table import show_rows
from pages._parts.text import plain, uploaded

_HELP = "JSON as saved here, one circuit or one a line."


def pick_one(e: engine.Experiment, shape: engine.Shape) -> engine.Circuit | None:
    """Draw which circuit is meant, with the library beside it. Returns: it, or None."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = shelf.pick_one(shape)
        if chosen is not None:
            toggle()
    forms(e, shape, chosen)
    return chosen


def toggle() -> None:
    """Draw whether the library is seen."""
    there = shelf.library()
    st.toggle(
        f"Library: {len(there.own)} of your own, {len(there.published)} published", key="library"
    )


def forms(e: engine.Experiment, shape: engine.Shape, chosen: engine.Circuit | None) -> None:
    """Draw the library, where it is wanted or nothing is `chosen`: the circuit that is named, saved
    or deleted."""
    there = shelf.library()
    if chosen is not None and not st.session_state.get("library"):
        return
    with st.container(border=True):
        wrong = st.session_state.get("_library_wrong", "")
        if wrong:
            st.error(plain(wrong))
        names = ("Circuits", "Make", "Load", "Join", "Name and save")
        tabs = st.tabs(names[:5] if chosen else names[:4])
        with tabs[0]:
            _listed(there, shape)
        with tabs[1]:
            _from_now(e, shape)
        with tabs[2]:
            _load(e, shape)
        with tabs[3]:
            _join(there)
        if chosen:
            with tabs[4]:
                _save(there, chosen)
        if not shelf.fits_link():
            st.caption(
                "Your circuits are too long for a link, so the link leaves them out: save them as "
                "JSON to keep or share them."
            )


def _listed(there: shelf.Library, shape: engine.Shape) -> None:
    rows: list[dict[str, object]] = [
        {
            "circuit": name,
            "fits": shelf.why_not(c, shape) or "yes",
            "task": c.task,
            "found in": c.model,
            "keeps": shelf.size(c),
            "method": str(c.method),
            "sites": engine.print_sites(c.sites),
            "note": c.note,
            "source": c.source,
        }
        for name, c in there.every.items()
    ]
    show_rows(rows, 390)


def _from_now(e: engine.Experiment, shape: engine.Shape) -> None:
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    left.text_input("Name", key="_now_name", placeholder="my circuit")
    named = len(e.ablations.sites)
    with right.container(horizontal=True):
        _button("Keep what is on now", _make(e, shape), icon=":material/toggle_on:")
        if e.ablations.verb == "ablate" and named:
            off = _make(e, shape, turned=True)
            _button("Keep what is off now", off, icon=":material/toggle_off:")
    st.caption(
        plain(
            f"Now: {e.ablations or 'everything is on'}; method {e.method}. A circuit is what is "
            "kept; everything else is ablated, by that method."
        )
    )


def _make(e: engine.Experiment, shape: engine.Shape, turned: bool = False) -> Callable[[], None]:
    """Add what is on now; `turned`, what is off."""

    def make() -> None:
        ss, left = st.session_state, e.ablations
        name = ss["_now_name"] or "my circuit"
        if turned:
            left = engine.Ablations(left.sites, "keep", mlps=True)
        task = drawn_by(e.model).name if ss["over"] == "family" else ""
        shelf.add([engine.circuit_left(left, shape, name, e.model, task, e.method)])

    return make


def _load(e: engine.Experiment, shape: engine.Shape) -> None:
    left, right = st.columns(2)
    left.text_area("Paste", key="_circuit_text", height=110, help=_HELP)
    file = right.file_uploader(
        "or a file",
        type=["json", "jsonl", "csv"],
        key="_circuit_file",
        max_upload_size=1,
        help=f"{_HELP} A CSV has a column “site”, and is read as a circuit of this model.",
    )

    def load() -> None:
        result = list(engine.read_circuits(st.session_state["_circuit_text"]))
        if file is not None:
            text = uploaded(file)
            if file.name.lower().endswith(".csv"):
                name = file.name[: -len(".csv")]
                sides = (shape.n_layers, shape.n_heads, shape.without_heads, shape.without_mlp)
                result.append(engine.Circuit.from_csv(text, name, e.model, "", *sides))
            else:
                result += engine.read_circuits(text)
        if not result:
            raise engine.EngineError("There is no circuit to add: paste one, or choose a file.")
        shelf.add(result)
        st.session_state["_circuit_text"] = ""

    _button("Add", load, icon=":material/add:")


def _join(there: shelf.Library) -> None:
    st.multiselect("Circuits", list(there.every), key="_joined", max_selections=12)
    some = [there.every[n] for n in st.session_state["_joined"] if n in there.every]
    with st.container(horizontal=True):
        for title, verb in (("Union", "union"), ("Intersection", "intersection")):
            _button(title, _joined(some, verb), disabled=len(some) < 2)


def _joined(some: list[engine.Circuit], verb: str) -> Callable[[], None]:
    def join() -> None:
        shelf.add([joined(some, verb)])

    return join


def joined(some: list[engine.Circuit], verb: str) -> engine.Circuit:
    """The union or the intersection of circuits. Raises: EngineError for those of other shapes."""
    first, *others = some
    for other in others:
        first = getattr(first, verb)(other)
    return first


def _save(there: shelf.Library, chosen: engine.Circuit) -> None:
    left, right = beside(chosen.n_heads, "form")
    with left:
        figure(chosen.figure(), "circuit", csv=chosen.to_csv(), key="circuit_figure")
    with right:
        own = chosen.name in there.own
        st.text_input("Name", chosen.name, key=f"_name {chosen.name}")
        with st.container(horizontal=True):
            if own:
                _button("Rename", _rename(there, chosen), icon=":material/edit:")
                _button("Delete", _delete(there, chosen), icon=":material/delete:")
            else:
                _button(
                    "Copy under this name", _rename(there, chosen), icon=":material/content_copy:"
                )
            st.download_button(
                "JSON",
                chosen.to_json().encode("utf-8", "backslashreplace"),
                "circuit.json",
                "application/json",
                on_click="ignore",
                icon=":material/download:",
            )
            if there.own:
                st.download_button(
                    "All of your own",
                    engine.write_circuits(there.own.values()).encode("utf-8", "backslashreplace"),
                    "circuits.jsonl",
                    "application/jsonl",
                    on_click="ignore",
                    icon=":material/download:",
                )
        st.code(
            f"import switchboard as engine\n\ncircuit = {chosen.to_python()}",
            language="python",
            wrap_lines=True,
        )
        about = " ".join(filter(None, (chosen.note, chosen.source)))
        if about:
            st.caption(plain(about))


def _rename(there: shelf.Library, chosen: engine.Circuit) -> Callable[[], None]:
    def rename() -> None:
        name = " ".join(st.session_state[f"_name {chosen.name}"].split())
        if name and name != chosen.name:
            shelf.put(c for n, c in there.own.items() if n != chosen.name)
            shelf.add([replace(chosen, name=name)])

    return rename


def _delete(there: shelf.Library, chosen: engine.Circuit) -> Callable[[], None]:
    def delete() -> None:
        shelf.put(c for n, c in there.own.items() if n != chosen.name)

    return delete


def _button(title: str, act: Callable[[], None], **options: object) -> None:
    """A button whose refusal is told in the library, until another is pressed."""

    def pressed() -> None:
        st.session_state["_library_wrong"] = ""
        try:
            act()
        except engine.EngineError as wrong:
            st.session_state["_library_wrong"] = str(wrong)

    st.button(title, key=f"_library {title}", on_click=pressed, **options)  # type: ignore[arg-type]
