"""A figure with its downloads: PNG and SVG as drawn, the CSV of its numbers, the Python of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import streamlit as st

from pages._parts import components

if TYPE_CHECKING:
    import plotly.graph_objects as go


def figure(drawn: go.Figure, name: str, *, csv: str, key: str, python: str = "") -> None:
    """Draw a plotly figure, whose layout gives its height.

    `name` is the downloads' file name without its ending; `csv` the numbers drawn; `python` the
    code that gives the same numbers, where it does not stand elsewhere on the page.
    """
    components.figure({"figure": json.loads(drawn.to_json()), "name": name, "csv": csv}, key=key)
    if python:
        python_of(python, key)


def python_of(code: str, key: str) -> None:
    """The code that gives a view's numbers, to copy: drawn once its box is open, as what colours
    code is slow to load. `key` is the view's own on its page."""
    box = st.expander("Copy as Python", key=f"_python_{key}", on_change="rerun")
    if box.open:
        box.code(code, language="python")
