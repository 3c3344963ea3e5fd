"""What a head's card has from the weights: what it writes and looks at, whom it reads."""

from __future__ import annotations

import numpy as np
import streamlit as st

import engine
from pages._parts import work
from pages._parts.layout import errors_shown
from pages._parts.roles import attends, reads, writes
from pages._parts.roles.views import progress
from pages._parts.table import Rows, rounded, show_rows
from pages._parts.text import percent, plain, signed

_PARTNERS = 3
_PLACES = {0: "the word itself", 1: "the next", -1: "the one before"}


def from_the_weights(model: str, head: engine.Head) -> None:
    """What it writes of words, and where it looks, with chance and place among all heads."""
    st.markdown("**From the weights**")
    with errors_shown():
        question = writes.asked(model)
        written_ = work.ask(writes.KEY, question).result
        progress(writes.KEY)
        if written_ is not None:
            each = (0, 1, -1, writes.places_on())
            rows = _places(written_, head, each, "raises, of each word")
            _drawn(rows)
            if rows:
                copying = written_.copying[head.layer, head.head]
                told = signed(copying) if copying == copying else "not known yet"
                st.caption(plain(f"Copying, by eigenvalues, −1 to 1: {told}. {_of(written_)}"))
    with errors_shown():
        looks = work.ask(attends.KEY, attends.asked(model)).result
        progress(attends.KEY)
        if looks is not None:
            each = (0, 1, -1, attends.looks_on())
            _drawn(_places(looks, head, each, "looks most at"))
            through = f" as {looks.keys_through} writes it" if looks.keys_through else ""
            back = f"{looks.distance:,} token{'' if looks.distance == 1 else 's'} back"
            apart = f", {back}" if looks.by_distance else ""
            st.caption(plain(f"From each word at the others{through}{apart}, by its own score."))


def _places(
    result: engine.OVScores | engine.QKScores, head: engine.Head, each: tuple[int, ...], what: str
) -> Rows:
    """A row for each place on, named in the column `what`: score, place among heads, n, chance."""
    rows: Rows = []
    for by in dict.fromkeys(each):
        try:
            score = result.score(by)
        except engine.EngineError:  # no word has another so many places on
            continue
        own = score[head.layer, head.head]
        if own == own:
            rows.append(
                {
                    what: _PLACES.get(by, f"{signed(by, 0)} places on"),
                    "score": f"{own:.0%}",
                    "place": f"{1 + int((score > own).sum())} of {int(np.isfinite(score).sum())}",
                    "n": result.n(by),
                    "chance": percent(result.chance),
                    "above it from": f"{result.above_chance(by):.0%}",
                }
            )
    return rows


def _drawn(rows: Rows) -> None:
    if rows:
        show_rows(rows)


def _of(result: engine.OVScores) -> str:
    same = result.outputs.words == result.inputs.words
    first, last = result.inputs.words[0], result.inputs.words[-1]
    among = "" if same else f", among {result.outputs.words[0]} … {result.outputs.words[-1]}"
    return (
        f"Of {first} … {last}{among}, raised among the first {result.k}. {' '.join(result.notes)}"
    )


def partners(model: str, head: engine.Head) -> None:
    """Whom it reads, and who reads it, the strongest of each part."""
    st.markdown("**Reads and is read**")
    rows: Rows = []
    for into in engine.INTO:
        question, key = reads.asked(model, into)
        with errors_shown():
            result = work.ask(key, question).result
            progress(key)
            if result is not None:
                rows += [
                    {
                        "from": row["sender"],
                        "into": f"{row['reader']}.{into}",
                        "score": rounded(row["score"]),
                        "chance": rounded(row["chance"]),
                        "spreads above": round(float(str(row["spreads"])), 1),
                    }
                    for row in result.table(_PARTNERS, head)
                ]
    if rows:
        show_rows(rows)
        st.caption(
            "Composition, 0 to 1, the strongest of each: 1 reads nothing but what is written."
        )
