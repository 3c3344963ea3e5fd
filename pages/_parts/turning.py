"""Another page opened by a button: named in its callback, turned to in the run that follows."""

import streamlit as st

_TO = "_turns_to"


def turn_to(page: str) -> None:
    """Have a page opened, as in "steering"; in a callback."""
    st.session_state[_TO] = f"pages/{page}.py"


def turned() -> None:
    """Turn to the page that a button has named, if any."""
    page = st.session_state.pop(_TO, "")
    if page:
        st.switch_page(page)
