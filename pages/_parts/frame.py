"""The frame around every page: which pages there are, their shared style, the way into them."""

import contextvars

import streamlit as st

from pages._parts.assets import ASSETS
from pages._parts.page import declared_pages

_inside = contextvars.ContextVar("inside", default=False)


def configure() -> None:
    """Title, icon and width; before anything else, or a page's own icon is fetched as favicon."""
    st.set_page_config(page_title="Switchboard", page_icon="🎛️", layout="wide")


def run() -> None:
    """Draw the shell, read the engine, then run the page chosen."""
    page = st.navigation(_pages(), position="top")
    st.html(ASSETS / "style.css")
    st.logo(ASSETS / "logo.svg", size="large")
    with st.spinner("Reading PyTorch and TransformerLens…", show_time=True):
        from pages._parts import experiment_form, state
    state.turn_to(page.url_path)
    mark = _inside.set(True)
    try:
        with experiment_form.shown() as ready:
            if ready:
                page.run()
    finally:
        _inside.reset(mark)


def require_app() -> None:
    """First line of every page: a page opened by a deep link on a cold server enters by app.py.

    Until some session has run app.py, Streamlit takes `pages/` for a multipage app of the old kind
    and runs the page's file alone. Calling st.navigation ends that; the rerun goes through app.py.
    """
    if not _inside.get():
        configure()
        st.navigation(_pages(), position="hidden")
        st.rerun()


def _pages() -> list[st.Page]:
    return [
        st.Page(f"pages/{name}.py", title=page.title, icon=page.icon, default=at == 0)
        for at, (name, page) in enumerate(declared_pages().items())
    ]
