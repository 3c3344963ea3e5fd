"""What the engine refuses, said on the page."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

import engine
from pages._parts.text import plain


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show the sentence of an EngineError where it would end the page; the rest is drawn."""
    try:
        yield
    except engine.EngineError as wrong:
        st.error(plain(wrong))
