"""Cells of a grid that the reader turns over while the page may set them too.

A grid is told its cells with a number, and says with the number it had when it says its own. So
what was turned over is known where the grid did not know yet what was set meanwhile, and joins it.
"""

from typing import Any

import streamlit as st

_MOST = 20
"""Tellings that are remembered."""


def tell(grid: str, **cells: list[int]) -> int:
    """The number of these lists of cells: a new one where the grid has others by now."""
    key = f"_{grid}_told"
    told: dict[int, dict[str, list[int]]] = st.session_state.get(key, {})
    number = max(told, default=0)
    if told.get(number) != cells:
        number += 1
        st.session_state[key] = dict([*told.items(), (number, cells)][-_MOST:])
    return number


def turned_over(grid: str, name: str, said: Any) -> tuple[list[int], list[int]]:
    """Which cells the reader added to this list and took out of it, by what the grid said; in a
    callback. None where it was told that too long ago, or says nothing that can be read."""
    key = f"_{grid}_told"
    told, number, cells = st.session_state.get(key, {}), None, None
    if isinstance(said, dict):
        number, cells = said.get("rev"), said.get("cells")
    if not isinstance(number, int) or number not in told or not isinstance(cells, list):
        return [], []
    now = [cell for cell in cells if isinstance(cell, int)]
    before = told[number][name]
    st.session_state[key] = {**told, number: {**told[number], name: now}}
    return [cell for cell in now if cell not in before], [c for c in before if c not in now]
