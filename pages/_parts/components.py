"""The dashboard's own widgets (components v2), each an HTML, CSS and JS file in assets/components.

They get plain data and give plain values; texts are set as text in the browser, never as markup.
"""

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import streamlit as st

from pages._parts.frame import ASSETS


def _mounted(name: str, *, isolate_styles: bool = True, after: str = "") -> Any:
    """A component of the files of that name; its JavaScript follows that of `after`."""
    folder = ASSETS / "components"
    html, css, js = (
        (folder / f"{name}.{kind}").read_text("utf-8") for kind in ("html", "css", "js")
    )
    if after:
        js = (folder / f"{after}.js").read_text("utf-8") + js
    return st.components.v2.component(
        name, html=html, css=css, js=js, isolate_styles=isolate_styles
    )


_head_grid = _mounted("head_grid")
_token_strip = _mounted("token_strip")
_rankings = _mounted("rankings")
_token_rows = _mounted("token_rows")
_figure = _mounted("figure", isolate_styles=False)
_attention_grid = _mounted("attention_grid", after="heat")
_circuitsvis = _mounted("circuitsvis", isolate_styles=False, after="heat")
_LIBRARIES = {
    "plotly": ("plotly", "package_data/plotly.min.js", ""),
    "circuitsvis": ("circuitsvis", "dist/cdn/iife.js", "globalThis.CircuitsVis = CircuitsVis;"),
}


def head_grid(data: dict[str, Any], *, key: str, on_picked: Callable, on_removed: Callable) -> None:
    """Switches for every head and MLP; `picked` (cells) and `removed` (a site) are in its state."""
    _head_grid(
        key=key,
        data=data,
        default={"picked": data["picked"]},
        on_picked_change=on_picked,
        on_removed_change=on_removed,
    )


def token_strip(data: dict[str, Any], *, key: str, on_clicked: Callable) -> None:
    """A prompt's tokens; `clicked` (a position) is in its state for one run."""
    _token_strip(key=key, data=data, on_clicked_change=on_clicked)


def rankings(data: dict[str, Any], *, key: str) -> None:
    """Clean and ablated rankings with what moved, and the numbers above them."""
    _rankings(key=key, data=data)


def token_rows(data: dict[str, Any], *, key: str) -> None:
    """Rows of tokens to compare: names, facts, and tokens in blocks under each other."""
    _token_rows(key=key, data=data)


def figure(data: dict[str, Any], *, key: str) -> None:
    """A plotly figure and its downloads; the page must have the library "plotly"."""
    _figure(key=key, data=data)


def attention_grid(
    header: dict[str, Any], shades: bytes, *, key: str, on_picked: Callable, on_chosen: Callable
) -> None:
    """Every head's pattern as a thumbnail, one signed byte a pixel; `picked` (the heads named as
    switched) and `chosen` (those to look at) are in its state, as cells counted layer by layer."""
    written = json.dumps(header).encode()
    _attention_grid(
        key=key,
        data=len(written).to_bytes(4, "little") + written + shades,
        default={"picked": header["picked"], "chosen": header["chosen"]},
        on_picked_change=on_picked,
        on_chosen_change=on_chosen,
    )


def circuitsvis(data: dict[str, Any], *, key: str) -> None:
    """Heads drawn by CircuitsVis; the page must have the library "circuitsvis"."""
    _circuitsvis(key=key, data=data)


def library(name: str) -> None:
    """Give the page a JavaScript library, once a run: "plotly" or "circuitsvis".

    It comes from the installed package, and is sent once to each browser.
    """
    _library(name)(key=f"library_{name}")


@cache
def _library(name: str) -> Any:
    package, path, after = _LIBRARIES[name]
    js = files(package).joinpath(path).read_text("utf-8")
    js += f"\n{after}\nglobalThis.dispatchEvent(new Event('switchboard:{name}'));"
    js += "\nexport default function () {}"
    return st.components.v2.component(f"library_{name}", js=js)
