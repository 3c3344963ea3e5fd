"""The experiment in a browser session: its widgets' values, its history, its link.

The widgets' values are the only state. An Experiment is read from them at the start of every run
and written to the browser's address at its end, so the address is always the link to the view.
"""

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.runtime.scriptrunner import get_script_run_ctx

import engine
from pages._parts import messages
from pages._parts.fields import declared
from pages._parts.text import escaped, unescaped

FIRST = engine.Experiment(prompt="1 2 3 4", answer=" 5", distractor=" 4", corrupted="8 1 6 3")
"""What a visitor without a link sees."""

BOS = {"auto": None, "on": True, "off": False}
_OWN = {f.name for f in fields(engine.Experiment)}
_TEXTS = ("model", "prompt", "corrupted", "answer", "distractor")
_ASKED = ("model", "prompt", "answer", "distractor", "prepend_bos")
"""Fields without which there is not even a clean run; of the others only changes are made."""

_ASIDE = ("verb", "mlps", "method", "number", "positions", "changes", "corrupted", "references")
"""Names of the widgets at the side that say what is changed, how and where."""

messages.install()


@dataclass(frozen=True)
class Reading:
    """What the widgets say: an experiment, and why fields of it could not be read, in a sentence
    each: those of what is asked at all (`errors`), and those of what is changed (`unread`)."""

    experiment: engine.Experiment
    errors: tuple[str, ...]
    unread: dict[str, str]

    @property
    def whole(self) -> bool:
        """Whether everything could be read."""
        return not (self.errors or self.unread)


def view() -> str:
    """A name for this browser session's view, by which a newer request replaces an older one."""
    return st.session_state.setdefault("_view", uuid4().hex)


def adopt_link() -> tuple[str, ...]:
    """Take over the address of a link that is opened, and where the reader goes back or forward. At
    any other time it is what an earlier run wrote: a quick click brings one along that was replaced
    since, and is not to be undone by it. What cannot be read of a link is left out.
    Returns: what that is, in a sentence each, until a widget changes.
    """
    ss, pairs, script = st.session_state, _address(), get_script_run_ctx()
    opens = "_wrong_link" not in ss  # until a run has filled all, and was not cut off before
    goes = script is not None and script.is_history_navigation and pairs != ss.get("_link")
    if pairs and (opens or goes):
        e, wrong = engine.Experiment.readable(pairs)
        own = {name: value for name, value in pairs if name in declared()}
        others = [declared()[name].wrong(value) for name, value in own.items()]
        with messages.uncut():
            fill(e, own)
            ss["_link"], ss["_wrong_link"] = pairs, (*wrong, *filter(None, others))
    elif opens:
        with messages.uncut():
            fill(FIRST)
            ss["_wrong_link"] = ()
    elif _changed():
        ss["_wrong_link"] = ()
    return wrong_link()


def link(e: engine.Experiment) -> list[tuple[str, str]]:
    """The names and values of the address of this view."""
    pairs = parse_qsl(e.to_url()[1:], keep_blank_values=True, errors="surrogatepass")
    now = st.session_state.to_dict()
    said = [(field, now.get(name)) for name, field in declared().items()]
    return pairs + [
        (field.name, str(value))
        for field, value in said
        if field.fits_link(value) and value != field.default
    ]


def write_link(e: engine.Experiment) -> None:
    """Put this view into the browser's address."""
    pairs = link(e)
    if pairs != _address():
        st.query_params.from_dict({k: [v for n, v in pairs if n == k] for k, _ in pairs})
    st.session_state["_link"] = pairs


def _address() -> list[tuple[str, str]]:
    """What the browser's address says of this view, others' parameters left out."""
    own = [name for name in st.query_params if name in _OWN or name in declared()]
    return [(name, value) for name in own for value in st.query_params.get_all(name)]


def wrong_link() -> tuple[str, ...]:
    """What is wrong with the link that this view came by, until a widget changes."""
    wrong: tuple[str, ...] = st.session_state.get("_wrong_link", ())
    return wrong


def settle() -> None:
    """Note the widgets' values, to see in the next run which of them changed. At a run's start too,
    or what was just chosen is lost where the reader is off to another page already."""
    now, kept = st.session_state.to_dict(), (str, bool, int, float, list)
    known = {n: v for n, v in now.items() if not n.startswith("_") and isinstance(v, kept)}
    st.session_state["_values"] = {**now.get("_values", {}), **known}


def carry(alone: bool = False) -> None:
    """At a page's end, set the values noted of widgets that it does not draw, which Streamlit
    would forget. (Its `persist_state` does not do: a widget that two pages draw comes up empty on
    the second.) At the end of a part that ran `alone`, only of those that were not drawn before.
    """
    ss, undrawn = st.session_state, []
    noted = ss["_values"]
    for name in ss.get("_undrawn", ()) if alone else noted:
        with contextlib.suppress(StreamlitAPIException):  # it is drawn: it keeps its value
            ss[name] = noted.get(name)
            undrawn.append(name)
    ss["_undrawn"] = undrawn


def run_anew() -> None:
    """Run the whole page anew."""
    st.session_state["_anew"] = True
    st.rerun()


def end(reading: Reading, cut_off: bool) -> None:
    """End a run of the whole page. One that was `cut_off` by another leaves the address alone, as
    the reader may be elsewhere by now; and its last widgets may not have come to the browser, which
    then shows them empty: the next run sets all of them."""
    ss = st.session_state
    cut_off = cut_off and not ss.get("_anew")
    if reading.whole and not cut_off:
        write_link(reading.experiment)
    settle()
    carry()
    if cut_off:
        ss["_undrawn"] = [*ss["_values"]]


def turn_to(page: str) -> None:
    """Set the values anew of widgets that the last run did not draw, and, where the reader turned
    to another page, of all: Streamlit takes one that comes up again for a new one, and the browser
    shows it empty unless its value was set in that same run."""
    ss = st.session_state
    if ss.get("_page") != page:
        ss["_undrawn"] = [*ss.get("_values", ())]
    recall()
    ss["_page"], ss["_anew"] = page, False


def recall() -> None:
    """Set the values of widgets that the last run did not draw, those too that a part which ran
    alone left out, and that Streamlit has forgotten. They are deleted first: a value set while its
    widget was never drawn yet is kept beside the widget's own, and would show again after it. And
    noted before that, as another run may begin in between."""
    ss = st.session_state
    noted, undrawn, now = ss.setdefault("_values", {}), ss.get("_undrawn", ()), ss.to_dict()
    ss["_undrawn"] = [*undrawn, *(n for n in noted if n not in now and n not in undrawn)]
    for name in ss["_undrawn"]:
        noted[name] = now.get(name, noted.get(name))
        if name in now:
            del ss[name]
        ss[name] = noted[name]


def _changed() -> bool:
    now = st.session_state.to_dict()
    return any(now.get(name, value) != value for name, value in now.get("_values", {}).items())


def fill(e: engine.Experiment, choices: dict[str, str] | None = None) -> None:
    """Set every widget to an experiment's values; only before they are drawn, or in a callback."""
    for name, field in declared().items():
        st.session_state[name] = field.read((choices or {}).get(name))
    fill_in(e, _OWN)


def fill_in(e: engine.Experiment, names: Iterable[str]) -> None:
    """Set the widgets of these fields to an experiment's; as `fill`, the others keep theirs."""
    ss = st.session_state
    for name in names:
        match name:
            case "references":
                ss[name] = "\n".join(escaped(text) for text in e.references)
            case "prepend_bos":
                ss["bos"] = next(word for word, value in BOS.items() if value is e.prepend_bos)
            case "method":
                ss[name] = e.method.kind.word
                ss["number"] = 0.0 if e.method.number is None else e.method.number
            case "positions":
                ss[name] = str(e.positions)
            case "ablations":
                set_ablations(e.ablations)
            case "changes":
                set_changes(e.changes)
            case "vectors" | "saes":  # of no widget: carried from view to view, one a line
                ss[name] = "\n".join(map(str, getattr(e, name)))
            case _:
                ss[name] = getattr(e, name)


def turn_into(e: engine.Experiment, other: engine.Experiment) -> None:
    """Set the widgets of what another experiment has otherwise; in a callback."""
    fill_in(other, [name for name in _OWN if getattr(e, name) != getattr(other, name)])


def aside() -> tuple[Any, ...]:
    """What the widgets at the side say of the changes."""
    return tuple(st.session_state.get(name) for name in _ASIDE)


def set_ablations(ablations: engine.Ablations) -> None:
    """Set the widgets that say what is switched off."""
    st.session_state["verb"] = ablations.verb
    st.session_state["mlps"] = ablations.mlps
    st.session_state["sites"] = engine.print_sites(ablations.sites)


def set_changes(changes: Iterable[engine.Change]) -> None:
    """Set the further changes, one a line."""
    st.session_state["changes"] = "\n".join(map(str, changes))


def set_sites(sites: Iterable[engine.Site]) -> None:
    """Set which sites are named; the verb stays."""
    st.session_state["sites"] = engine.print_sites(sites)


def read() -> Reading:
    """Read the experiment from the widgets; a part that cannot be read is left at its default."""
    ss = st.session_state
    e = engine.Experiment(model=ss["model"] or "", prepend_bos=BOS[ss["bos"]])
    takes_number = ss["method"] in ("scale", "set")
    keeps = ss["verb"] == "keep"
    lines = ss["references"].split("\n")
    parts: dict[str, Callable[[], Any]] = {
        **{name: partial(_text, name) for name in _TEXTS},
        "references": lambda: tuple(unescaped(line) for line in lines if line),
        "method": lambda: f"{ss['method']}({ss['number']!r})" if takes_number else ss["method"],
        "positions": lambda: ss["positions"],
        "changes": lambda: engine.changes(ss["changes"]),
        "vectors": lambda: ss["vectors"].splitlines(),
        "saes": lambda: ss["saes"].splitlines(),
        "ablations": lambda: engine.Ablations(
            engine.parse_sites(ss["sites"]), ss["verb"], keeps and ss["mlps"]
        ),
    }
    said, wrong = {}, {}
    for name, value in parts.items():
        try:
            said[name] = value()
        except engine.EngineError as why:
            wrong[name] = str(why)
    try:
        e = replace(e, **said)
    except engine.EngineError:
        for name, value in said.items():
            try:
                e = replace(e, **{name: value})
            except engine.EngineError as why:
                wrong[name] = str(why)
    errors = tuple(why for name, why in wrong.items() if name in _ASKED)
    return Reading(e, errors, {name: why for name, why in wrong.items() if name not in _ASKED})


def _text(name: str) -> str:
    return st.session_state[name] or ""
