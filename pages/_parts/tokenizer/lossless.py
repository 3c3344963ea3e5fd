"""Every token of the prompt with its bytes, and whether the tokens lead back to the prompt."""

import streamlit as st

import engine
from pages._parts.experiment_form import model_shape
from pages._parts.table import python_for, table
from pages._parts.text import plain, token_text, visible
from pages._parts.tokenizer.chips import count


def lossless(e: engine.Experiment) -> None:
    """The table of tokens, with the round trip above it."""
    view = engine.token_view(e.model, e.prompt, e.prepend_bos)
    n_bytes = len(e.prompt.encode())
    bos = f", {view.tokens.pieces[0]} in front included" if view.tokens.bos else ", no BOS"
    st.caption(
        plain(
            f"{count(len(view.tokens))}{bos}, for {len(e.prompt):,} characters of {n_bytes:,} "
            f"bytes. {_round_trip(view)}"
        )
    )
    most = model_shape().n_ctx
    if most is not None and len(view.tokens) > most:
        st.warning(
            plain(
                f"{e.model} reads at most {most:,} tokens, so it cannot be run on this prompt. "
                f"Leave {count(len(view.tokens) - most)} out; the tokens are shown all the same."
            ),
            icon=":material/warning:",
        )
    rows = view.table()
    shown = [
        {
            "position": row["position"],
            "id": row["id"],
            "raw piece": visible(str(row["piece"])),
            "text": token_text(str(row["text"]), str(row["piece"])),
            "characters": f"{row['start']}–{row['end']}" if row["end"] else "none",
            "bytes": row["bytes"],
            "holds only part of": _named(str(row["part_of"])),
        }
        for row in rows
    ]
    call = f"token_view({e.model!r}, {e.prompt!r}, {e.prepend_bos})"
    table(rows, "tokens", python_for(call), shown=shown)


def _named(text: str) -> str:
    return " ".join(c if c.isspace() else f"{visible(c)} U+{ord(c):04X}" for c in text.strip())


def _round_trip(view: engine.TokenView) -> str:
    spelt = visible(view.decoded[:60]) + ("…" if len(view.decoded) > 60 else "")
    sentence = (
        "Decoded, they spell the prompt"
        if view.reads_back
        else f"Decoded, they spell “{spelt}”, which is not the prompt"
    )
    again = "the same ids" if view.same_ids else f"other ids, {count(len(view.again))}"
    return f"Round trip: {sentence[0].lower()}{sentence[1:]}; encoded again, they give {again}."
