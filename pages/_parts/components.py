"""The dashboard's own widgets (components v2), made of HTML, CSS and JS files in assets/components.

They get plain data and give plain values; texts are set as text in the browser, never as markup.
What one has built it keeps by its place, in a WeakMap, and it hands Streamlit no cleanup: where
data comes twice in a hurry, Streamlit calls the first run's while the second's view still stands.
"""

import json
from collections.abc import Callable
from importlib.metadata import version
from importlib.resources import files
from itertools import count
from time import time
from typing import Any

import streamlit as st
from streamlit.components.v1 import declare_component

import engine
from pages._parts.assets import ASSETS

PALETTE_CSS = "".join(
    (
        ":root, :host { ",
        *(f"--sb-{name}: {colour}; " for name, colour in engine.PALETTE.items()),
        "}\n",
    )
)
PALETTE_JS = (
    f"const PALETTE = {json.dumps(engine.PALETTE)}, ON_DARK = {json.dumps(engine.ON_DARK)};\n"
    "const channels = hex => [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16));\n"
)
_LIBRARIES = {
    "Plotly": ("plotly", "package_data", "plotly.min.js"),
    "CircuitsVis": ("circuitsvis", "dist/cdn", "iife.js"),
}
"""JavaScript libraries by their names there: the package that brings each, its folder, its file."""
_numbers = count(int(1000 * time()))  # they grow from one start of the server to the next, too


def _served(package: str, folder: str, file: str) -> str:
    """Have the server give a package's folder. Returns: a file's address, below the server's own;
    another for another version, as a browser keeps what it has had."""
    at = declare_component(package, str(files(package).joinpath(folder)))
    return f"component/{at.name}/{file}?{version(package)}"


LIBRARIES_JS = (
    f"const LIBRARIES = {json.dumps({name: _served(*at) for name, at in _LIBRARIES.items()})};\n"
)


def _mounted(name: str, *shared: str, isolate_styles: bool = True) -> Any:
    """A component of the files of that name and those it shares with others: their HTML stands
    below its own, their JavaScript and styles come before, after the palette: PALETTE in
    JavaScript, --sb-… in styles, and what they all do in JavaScript."""

    def joined(kind: str, *names: str) -> str:
        paths = [ASSETS / "components" / f"{each}.{kind}" for each in names]
        return "".join(path.read_text("utf-8") for path in paths if path.exists())

    return st.components.v2.component(
        name,
        html=joined("html", name, *shared),
        css=PALETTE_CSS + joined("css", *shared, name),
        js=PALETTE_JS + LIBRARIES_JS + joined("js", "standing", *shared, name),
        isolate_styles=isolate_styles,
    )


_head_grid = _mounted("head_grid", "threshold", "strips", "heat")
_token_strip = _mounted("token_strip", "elements")
_rankings = _mounted("rankings", "elements", "drawing", "downloads")
_token_rows = _mounted("token_rows", "elements")
_figure = _mounted("figure", "library", "reach", "heat", "downloads", isolate_styles=False)
_lens_grid = _mounted("lens_grid", "elements", "heat", "drawing", "downloads")
_attention_grid = _mounted("attention_grid", "threshold", "heat", "drawing", "downloads")
_circuitsvis = _mounted(
    "circuitsvis", "library", "reach", "heat", "drawing", "downloads", isolate_styles=False
)
_generation = _mounted("generation", "elements", "drawing", "downloads")
_steps_feed = _mounted("steps_feed")


def _numbered(key: str, data: dict[str, Any]) -> dict[str, Any]:
    """The data with `sent`, a number that grows: what a view is given late it knows to be old by
    it. Data that are those sent last keep theirs, and so are not drawn anew."""
    sent = st.session_state.setdefault("_sent", {})
    last, number = sent.get(key, (None, 0))
    if data != last:
        number = next(_numbers)
        sent[key] = (data, number)
    return {**data, "sent": number}


def head_grid(
    data: dict[str, Any],
    *,
    key: str,
    on_picked: Callable,
    on_removed: Callable,
    on_acted: Callable,
    on_carried: Callable = lambda: None,
) -> None:
    """Switches for every head and MLP, or patches; `picked` (cells), `removed` (a site), `acted`
    (what is asked of the cells outlined) and `carried` (the position of a token dragged from one
    prompt to the other) are in its state; a cell that is dropped on a prompt is picked."""
    _head_grid(
        key=key,
        data=_numbered(key, data),
        default={"picked": None},
        on_picked_change=on_picked,
        on_removed_change=on_removed,
        on_acted_change=on_acted,
        on_carried_change=on_carried,
    )


def token_strip(data: dict[str, Any], *, key: str, on_clicked: Callable) -> None:
    """A prompt's tokens; `clicked` (a position) is in its state for one run."""
    _token_strip(key=key, data=_numbered(key, data), on_clicked_change=on_clicked)


def rankings(data: dict[str, Any], *, key: str) -> None:
    """The best tokens of both runs in one table, the numbers above it, and their downloads."""
    _rankings(key=key, data=_numbered(key, data))


def token_rows(data: dict[str, Any], *, key: str) -> None:
    """Rows of tokens to compare: names, facts, and tokens in blocks under each other."""
    _token_rows(key=key, data=_numbered(key, data))


def figure(data: dict[str, Any], *, key: str) -> None:
    """A plotly figure and its downloads."""
    _figure(key=key, data=_numbered(key, data))


def lens_grid(data: dict[str, Any], *, key: str) -> None:
    """The best token after each layer at each position, tinted, and its downloads."""
    _lens_grid(key=key, data=_numbered(key, data))


def attention_grid(
    header: dict[str, Any],
    shades: bytes,
    *,
    key: str,
    on_picked: Callable,
    on_chosen: Callable,
    on_acted: Callable,
) -> None:
    """Every head's pattern as a thumbnail, one signed byte a pixel; `picked` (the heads named as
    switched), `chosen` (those to look at) and `acted` (what is asked of those outlined) are in its
    state, as cells counted layer by layer."""
    numbered = _numbered(key, {**header, "shades": shades})
    del numbered["shades"]
    written = json.dumps(numbered).encode()
    _attention_grid(
        key=key,
        data=len(written).to_bytes(4, "little") + written + shades,
        default={"picked": None, "chosen": None},
        on_picked_change=on_picked,
        on_chosen_change=on_chosen,
        on_acted_change=on_acted,
    )


def circuitsvis(data: dict[str, Any], *, key: str) -> None:
    """Heads drawn by CircuitsVis."""
    _circuitsvis(key=key, data=_numbered(key, data))


def generation(data: dict[str, Any], *, key: str, on_held: Callable, on_branched: Callable) -> None:
    """A text token by token, clean and ablated, with each step's best tokens; `held` (the step
    clicked, −1 to let go) and `branched` (a token clicked: run, step, id) are in its state."""
    _generation(
        key=key, data=_numbered(key, data), on_held_change=on_held, on_branched_change=on_branched
    )


def steps_feed(data: dict[str, Any], *, key: str) -> None:
    """Further steps for the generation on the page that has this `stream`: a component without
    anything to see, as one that is drawn already cannot be drawn anew in the same run."""
    _steps_feed(key=key, data=data)
