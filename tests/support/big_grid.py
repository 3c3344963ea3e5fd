"""The head grid by itself, tinted, for test_head_grid.py: of ?layers= by ?heads=, with something at
its right, as on the pages; or, with ?tokens=, one of patches below two prompts of so many."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import streamlit as st

from engine.showing.palette import SIGNED
from pages._parts import components
from pages._parts.layout import beside_switches

LAYERS, HEADS = (int(st.query_params.get(name, 32)) for name in ("layers", "heads"))
TOKENS = int(st.query_params.get("tokens", 0))
st.set_page_config(layout="wide")
values: list[float | None] = [(i % 65) / 32 - 1 for i in range(LAYERS * (HEADS + (not TOKENS)))]
values[1] = None
patches = {
    "names": [f"L{i // HEADS}H{i % HEADS}" for i in range(LAYERS * HEADS)],
    "tokens": [
        {"position": p, "clean": "␣token", "corrupted": "␣other", "differs": True}
        for p in range(TOKENS)
    ],
    "across": False,
    "into": "clean",
    "lands": [None] * (LAYERS * HEADS),
    "acts": ["patch", "paths", "off", "circuit"],
}


def _picked() -> None:
    st.session_state["got"] = st.session_state["grid"]["picked"]["cells"]


def _acted() -> None:
    st.session_state["got"] = st.session_state["grid"]["acted"]


left, right = beside_switches(HEADS)
with left:
    components.head_grid(
        {
            "layers": LAYERS,
            "heads": HEADS,
            "picked": [],
            "absent": [],
            "rev": 0,
            "verb": "ablate",
            "mlps": False,
            "values": values,
            "value_name": "effect",
            "orders": ["size", "below", "above"],
            "guesses": [],
            "colours": {"colorscale": SIGNED, "zmin": -1, "zmax": 1, "zero": ""},
            "marked": [],
            "chips": [],
            "hint": "hint",
            **(patches if TOKENS else {}),
        },
        key="grid",
        on_picked=_picked,
        on_removed=lambda: None,
        on_acted=_acted,
    )
with right:
    st.text(f"got {st.session_state.get('got')}")
