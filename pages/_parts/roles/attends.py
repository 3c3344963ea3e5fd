"""Which word each head looks at from which, by its weights."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import whole, written
from pages._parts.figure import figure
from pages._parts.layout import errors_shown
from pages._parts.roles import words_form
from pages._parts.roles.views import beside_grid, head_box, heads_table, metrics, progress
from pages._parts.table import Rows, as_csv, rounded, show_rows
from pages._parts.text import percent, plain, signed

KEY = "_roles_attends"
"""Where a session keeps its scores."""


def attends(reading: state.Reading) -> None:
    """The whole view."""
    question, result, by = None, None, 0
    rows: Rows = []
    with errors_shown():
        question = options(reading.experiment.model)
        by = looks_on()
        result = work.ask(KEY, question).result
        rows = result.table(by) if result is not None else []
    tint = result.grid(by) if rows and result is not None else None
    with beside_grid(reading, tint, rows, "attends"):
        if question is not None:
            progress(KEY)
        if rows and result is not None and question is not None:
            with st.container(horizontal=True):
                metrics(rows, result.above_chance(by), result.chance)
            shown: Rows = [
                {
                    "site": row["site"],
                    "score": f"{float(str(row['score'])):.0%}",
                    "margin": rounded(row["margin"]),
                }
                for row in rows
            ]
            heads_table(shown, "attends")
            with errors_shown():
                head = head_box(str(rows[0]["site"]))
                _one_head(result, head, by)
            st.caption(plain(explanation(result, by)))
    if rows and result is not None and question is not None:
        with errors_shown():
            pairs(result, question, written("role_head") or str(rows[0]["site"]))


def options(model: str) -> engine.ScoreQK:
    """Draw the widgets. Returns: what the engine is asked. Raises: EngineError."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        words_form.inputs("From each of")
        words_form.outputs("a head looks, among")
        st.text_input(
            "so many places on",
            key="looks_on",
            width=130,
            help="Which word counts as meant. 0: the word itself, or the one at its place in the "
            "other list; −1: the one before it; 1: the next.",
        )
        st.text_input(
            "tokens back",
            key="looked_distance",
            width=110,
            help="How far behind the word that is looked at the other stands, where positions turn "
            "queries and keys.",
        )
        st.text_input(
            "written by",
            key="keys_through",
            width=160,
            placeholder="the word itself",
            help="An earlier head, as 0.3: then what is looked at is what this head writes of the "
            "word alone, as an induction head looks for what a previous-token head has written.",
        )
        words_form.taken_for()
    return asked(model)


def asked(model: str) -> engine.ScoreQK:
    """What the widgets ask, wherever they are drawn. Raises: EngineError."""
    queries, keys = words_form.chosen()
    distance = whole("looked_distance", "Tokens back")
    through, taken_for = written("keys_through"), st.session_state["taken_for"]
    return engine.ScoreQK(model, queries, keys, distance, through, taken_for)


def looks_on() -> int:
    """How many places on the word meant is. Raises: EngineError."""
    return whole("looks_on", "Places on")


def _one_head(result: engine.QKScores, head: str, by: int) -> None:
    """What one head looks at most, from each word. Raises: EngineError."""
    words = result.tops(head, by)
    shown: Rows = [
        {
            "from": row["query"],
            "meant": row["meant"],
            "right": "✓" if row["right"] else "",
            f"{head} looks most at": row["looks"],
            "share": percent(float(str(row["share"]))),
        }
        for row in words
    ]
    show_rows(shown)
    right = sum(bool(row["right"]) for row in words)
    st.caption(plain(f"{head}: {right} of {len(words)} right. Share: of the attention to these."))


def pairs(result: engine.QKScores, question: engine.ScoreQK, head: str) -> None:
    """One head's score of each pair, with its downloads. Raises: EngineError."""
    figure(
        result.figure(head),
        f"looks-{head}",
        csv=as_csv(result.words(head)),
        python=f"import switchboard as engine\n\nresult = {question.to_python()}\n"
        f"for row in result.words({head!r}):\n    print(row)\n",
        key="looks_figure",
    )


def explanation(result: engine.QKScores, by: int) -> str:
    """What a score is, its chance, and what it does not show."""
    meant = {0: "the word itself, or the one at its place in the other list", 1: "the next word",
             -1: "the word before"}.get(by, f"the word {signed(by, 0)} places on")  # fmt: skip
    n, m = result.n(by), len(result.keys.ids)
    where = "what leaves layer 0" if result.embedding == "layer 0" else "its embedding"
    key = f"what {result.keys_through} writes of a word" if result.keys_through else "a word"
    apart = (
        f"the query {result.distance:,} tokens behind the key"
        if result.by_distance
        else "at any distance, as positions turn nothing here"
    )
    return (
        f"Share of {n} words from which a head looks most at {meant}, of {m} ({where}; at {key}): "
        f"the greatest score before the softmax, by the model's own norm, W_Q, W_K, rotation and "
        f"scale, {apart}. By chance {percent(result.chance)}; from {result.above_chance(by):.0%} "
        "on above it. Margin: by how much the score of the word meant is above the mean of the "
        "others, on average; above 0 it is looked at more. In the figure blue is looked at more "
        "than the row's mean. Of the weights alone: in a text other tokens compete, and earlier "
        f"layers have written into the stream. {' '.join(result.notes)}"
    )
