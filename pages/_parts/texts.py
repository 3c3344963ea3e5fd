"""The texts that something is looked for in: families' prompts, or what is pasted or uploaded."""

import streamlit as st

import engine
from pages._parts.text import uploaded


def chosen_texts(where: str, n: int) -> tuple[str, ...]:
    """The texts chosen, with the boxes they are written in. `where`: "family", n prompts of the one
    chosen; "families", n of each; "written", what is pasted or uploaded."""
    if where != "written":
        chosen = (st.session_state["task"],) if where == "family" else engine.task_families()
        return tuple(one.prompt for family in chosen for one in engine.examples(family, n))
    st.text_area("Text", key="context_text", height=110)
    file = st.file_uploader(
        "or a file",
        type=["txt"],
        key="context_file",
        help="Plain text in UTF-8; a file is not part of the link.",
        max_upload_size=2,
    )
    text = uploaded(file) if file is not None else st.session_state["context_text"] or ""
    return (text,) if text.strip() else ()
