"""What one head writes on the prompt, in tokens, and where it looks, clean beside changed."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state
from pages._parts.figure import figure
from pages._parts.table import Rows, as_csv, python_for, show_rows
from pages._parts.text import percent, plain, points, signed, visible

_TOKENS, _LOOKS = 10, 5


def said(e: engine.Experiment, head: str) -> None:
    """Draw the tokens that a head raises and lowers, and the tokens it looks at, in both runs.

    `e`: the experiment as it can be run. Raises: EngineError.
    """
    result = engine.head_writes(e, head, _TOKENS, view=f"{state.view()} head writes")
    changed = bool(e.every_change)
    place = f"{len(result.texts) - 1} {visible(result.texts[-1])}"
    st.subheader(f"{head} at position {place}", anchor=False)
    left, right = st.columns([1.5, 1], gap="medium")
    with left:
        show_rows(_ends(result, changed))
    with right:
        _attention(result, changed)
    told = f"It writes a vector {result.clean.norm:.3g} long"
    if changed:
        told += f" clean, {result.ablated.norm:.3g} changed"
        if result.cosine == result.cosine:
            told += f", cosine of the two {signed(result.cosine)}"
    st.caption(
        plain(
            f"{told}. Of {result.n_tokens:,} tokens those whose logit it raises and lowers most "
            "itself, above its mean over all, through the final norm as it is in that run; the "
            "difference of two of them is its direct number. What later parts make of what it "
            f"writes is not in it. {' '.join(result.notes)}"
        )
    )
    figure(
        result.figure(),
        f"head-writes-{head}",
        csv=as_csv(result.table()),
        python=python_for(f"head_writes({e.to_python()}, {head!r}, {_TOKENS})"),
        key="head_writes_figure",
    )


def _ends(result: engine.HeadWrites, changed: bool) -> dict[str, list[object]]:
    """The tokens at both ends of each run, side by side, with what is added to their logits."""
    runs = ("clean", "ablated") if changed else ("clean",)
    values = {row["token"]: row for row in result.table()}
    columns: dict[str, list[object]] = {}
    for word, tokens in (("raises", result.most), ("lowers", result.least)):
        for run in runs:
            name = f"{word}, {run}" if changed else word
            columns[name] = [
                f"{visible(token)}  {signed(float(str(values[token][run])))}"
                for token in tokens(run)
            ]
    return columns


def _attention(result: engine.HeadWrites, changed: bool) -> None:
    """The tokens it looks at most in either run."""
    shown: Rows = [
        {
            "looks at": f"{row['position']} {visible(str(row['text']))}",
            "clean": percent(float(str(row["clean"]))),
            **(
                {
                    "ablated": percent(float(str(row["ablated"]))),
                    "change, points": points(float(str(row["change"]))),
                }
                if changed
                else {}
            ),
        }
        for row in result.attention(_LOOKS)
    ]
    show_rows(shown)
