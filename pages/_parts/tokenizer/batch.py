"""Many prompts at once: pasted or uploaded, as a table and a CSV."""

import streamlit as st

import engine
from pages._parts.table import python_for, table
from pages._parts.text import File, plain, unescaped, uploaded, visible

_MOST = 2000


def batch(e: engine.Experiment) -> None:
    """A row a prompt, with what is wrong with it where something is."""
    left, right = st.columns([3, 2])
    pasted = left.text_area(
        "Prompts, one a line",
        key="batch",
        height=150,
        help="\\n is a line break within a prompt.",
    )
    file = right.file_uploader(
        "or a file",
        type=["txt", "csv"],
        key="batch_file",
        help="UTF-8. A .txt has a prompt a line; a .csv has them in its column “prompt”, or its "
        "first.",
        max_upload_size=5,
    )
    prompts = _pasted(pasted or "") + (_of_file(file) if file else [])
    if not prompts:
        st.info("Paste prompts or choose a file.")
        return
    if len(prompts) > _MOST:
        st.error(f"These are {len(prompts):,} prompts; at most {_MOST:,} are read at once.")
        return
    result = engine.token_views(e.model, prompts, e.prepend_bos)
    rows = result.table()
    words = {True: "yes", False: "no", "": ""}
    shown = [
        {
            "prompt": row["prompt"],
            "text": visible(str(row["text"])),
            "tokens": row["tokens"],
            "pieces": visible(str(row["pieces"])).replace("␣", " "),
            "ids": row["ids"],
            "reads back": words[row["reads_back"]],
            "same ids again": words[row["same_ids"]],
        }
        for row in rows
    ]
    notes = [(row["prompt"], row["warnings"]) for row in rows if row["warnings"]]
    call = f"token_views({e.model!r}, {prompts!r}, {e.prepend_bos})"
    table(rows, "prompts", python_for(call), shown=shown)
    for at, warning in notes[:10]:
        st.caption(plain(f"Prompt {at}: {warning}"))
    if len(notes) > 10:
        st.caption(f"{len(notes) - 10:,} more prompts have warnings; the CSV holds them all.")


def _pasted(text: str) -> list[str]:
    return [unescaped(line) for line in text.split("\n") if line]


def _of_file(file: File) -> list[str]:
    text = uploaded(file)
    if not file.name.lower().endswith(".csv"):
        return _pasted(text.replace("\r\n", "\n"))
    rows = engine.read_csv(text, ("prompt",), extra=True, unnamed=True)
    return [row.get("prompt", "") for _, row in rows]
