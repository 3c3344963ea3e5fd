"""How many tokens each number from 0 to 1000 takes, as a picture."""

import streamlit as st

import engine
from pages._parts.figure import figure
from pages._parts.table import as_csv, python_for
from pages._parts.tokenizer.chips import count

WRITTEN = {False: "by itself", True: "after a word and a space"}


def number_picture(e: engine.Experiment) -> None:
    """The picture, with how many numbers take how many tokens above it."""
    st.session_state.setdefault("number_stands", False)
    after = st.segmented_control(
        "A number stands",
        list(WRITTEN),
        key="number_stands",
        required=True,
        format_func=WRITTEN.__getitem__,
    )
    result = engine.number_lengths(e.model, after_space=bool(after))
    lengths = result.lengths.tolist()
    notes = [
        f"{lengths.count(n):,} take{'s' if lengths.count(n) == 1 else ''} {count(n)}"
        for n in sorted({*lengths})
    ]
    st.caption(
        f"Of the numbers from 0 to {len(lengths) - 1:,}, {', '.join(notes)}. BOS is not counted; a "
        "space in front is, also where the tokenizer puts it there."
    )
    figure(
        result.figure(),
        "number_lengths",
        csv=as_csv(result.table()),
        python=python_for(f"number_lengths({e.model!r}, after_space={bool(after)})"),
        key="number_lengths",
    )
