"""A metric with its change beneath."""

import streamlit as st

from pages._parts.text import signed


def metric(label: str, value: str, change: float, digits: int = 2, help: str | None = None) -> None:
    """Draw a metric and by how much it has changed: green and up, or red and down, both of which
    Streamlit would read off a hyphen, and the number has a real minus."""
    told = signed(change, digits)
    rises, falls = told[0] == "+" and change == change, told[0] == "−"
    st.metric(
        label,
        value,
        told,
        delta_color="green" if rises else "red" if falls else "off",
        delta_arrow="up" if rises else "down" if falls else "off",
        help=help,
        width="content",
    )
