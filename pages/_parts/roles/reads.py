"""How much heads read of what others write, from the weights: composition."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import choice, written
from pages._parts.figure import figure
from pages._parts.layout import errors_shown
from pages._parts.roles.views import beside_grid, head_box, heads_table, progress
from pages._parts.table import Rows, as_csv, rounded
from pages._parts.text import plain

_MOST = 200


def reads(reading: state.Reading) -> None:
    """The whole view."""
    choice(
        "Read by its",
        "composed_into",
        {"k": "keys", "q": "queries", "v": "values"},
        help="An induction head's keys read what a previous-token head writes (K-composition).",
    )
    into = st.session_state["composed_into"]
    question, key = asked(reading.experiment.model, into)
    result: engine.Composition | None = None
    rows: Rows = []
    head, tint = written("role_head"), None
    with errors_shown():
        result = work.ask(key, question).result
        if result is not None:
            try:
                rows, tint = result.table(_MOST, head or None), result.grid(head or None)
            except engine.EngineError:
                tint = result.grid()
                raise
    shown = _shown(rows)
    with beside_grid(reading, tint, shown, "reads"):
        progress(key)
        head_box()
        if result is not None and rows:
            heads_table(shown, "reads")
            st.caption(plain(explanation(result, head)))
    if result is not None and rows and result.done and tint is not None:
        figure(
            tint.figure(),
            f"composition-{result.into}",
            csv=as_csv(result.table(None, head or None)),
            python=f"import switchboard as engine\n\nresult = {question.to_python()}\n"
            f"for row in result.table({f'head={head!r}' if head else ''}):\n    print(row)\n",
            key="reads_figure",
        )


def asked(model: str, into: str) -> tuple[engine.ScoreComposition, str]:
    """What is asked, and where a session keeps the answer."""
    return engine.ScoreComposition(model, into), f"_roles_reads_{into}"


def _shown(rows: Rows) -> Rows:
    """Pairs as the table has them; a row is of both heads."""
    return [
        {
            "site": f"{row['sender']} {row['reader']}",
            "from": row["sender"],
            "into": f"{row['reader']}.{row['into']}",
            "score": rounded(row["score"]),
            "spreads above chance": round(float(str(row["spreads"])), 1),
        }
        for row in rows
    ]


def explanation(result: engine.Composition, head: str) -> str:
    """What a score is, its chance, and what it does not show."""
    n = result.n
    over = int((result.score > result.above_chance).sum())
    most = f" The {_MOST} highest." if not head and n > _MOST else ""
    of = f"{head} and every earlier and later head" if head else "every two heads"
    return (
        f"How much of what the earlier head writes the later one reads by its "
        f"{engine.INTO[result.into]}, of {of}, 0 to 1: ‖OV · M‖ / (‖OV‖ ‖M‖) of weights "
        f"behind their norms' gains.{most} Random maps have {result.chance:.3f} ± "
        f"{result.spread:.3f}; of {n:,} pairs none reaches {result.above_chance:.3f} but once in "
        f"twenty times, {over:,} do here. Trained weights share directions that all heads use, so "
        "the highest count, not those above chance. Of the weights alone: not whether the later "
        f"head looks where the earlier one has written. {' '.join(result.notes)}"
    )
