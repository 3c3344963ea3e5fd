"""What pages have in common: places side by side, and what the engine refuses said in place."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import engine
from pages._parts.text import plain

_MOST_HEADS = 16
"""Heads of a layer whose grid leaves half a page free beside it."""


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show the sentence of an EngineError where it would end the page; the rest is drawn. That
    there is no prompt yet is told where its tokens would stand."""
    try:
        yield
    except engine.EmptyPrompt:
        pass
    except engine.EngineError as wrong:
        st.error(plain(wrong))


def held(filled: object) -> DeltaGenerator:
    """A place that is one whatever is drawn in it. Where it is not `filled`, what it held goes at
    once: else Streamlit leaves that until the run ends, and what stands below moves under the
    reader's pointer."""
    return st.container() if filled else st.empty()


def beside_switches(n_heads: int, share: float = 0.5) -> Sequence[DeltaGenerator]:
    """The place of the switches, and one at its right of that `share` of the page, or of less
    where so many heads need the width; it stays in view while a deep grid is scrolled."""
    share = share if n_heads <= _MOST_HEADS else 0.4
    with st.container(key="beside_switches"):
        return st.columns([1 - share, share], gap="medium")


def beside(n_heads: int, key: str) -> Sequence[DeltaGenerator]:
    """Two places side by side, or, where a grid of so many heads needs the width there is, one
    below the other; the right one stays in view while a deep grid is scrolled."""
    with st.container(key=f"beside_{'wide_' if n_heads > _MOST_HEADS else ''}{key}"):
        return st.columns(2, gap="medium")
