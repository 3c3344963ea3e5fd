"""The head grid by itself at 32 × 32, tinted, for test_head_grid.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import streamlit as st

from pages._parts import components

LAYERS = HEADS = 32
values: list[float | None] = [(i % 65) / 32 - 1 for i in range(LAYERS * (HEADS + 1))]
values[1] = None


def _picked() -> None:
    st.session_state["got"] = st.session_state["grid"]["picked"]


components.head_grid(
    {
        "layers": LAYERS,
        "heads": HEADS,
        "picked": [],
        "rev": 0,
        "verb": "ablate",
        "mlps": False,
        "values": values,
        "value_name": "effect",
        "chips": [],
        "hint": "hint",
    },
    key="grid",
    on_picked=_picked,
    on_removed=lambda: None,
)
st.text(f"got {st.session_state.get('got')}")
