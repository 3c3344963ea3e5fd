"""Whole answers, of however many tokens, ranked by their joint log-probability."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.figure import figure
from pages._parts.layout import beside_switches
from pages._parts.refusals import answered
from pages._parts.switches import switches
from pages._parts.table import as_csv, downloads, show_rows
from pages._parts.text import decimal, percent, plain, unescaped, visible

_KEY = "_answers"

_MOST_DRAWN = 40


def answers(reading: state.Reading, shape: engine.Shape) -> None:
    """The whole view. Raises: EngineError."""
    e = reading.experiment
    left, right = beside_switches(shape.n_heads, 5 / 9)
    with left:
        st.text_area(
            "Candidate answers, one a line",
            key="candidates",
            height=140,
            help="Each is written right after the prompt, so a leading space counts; \\n is a line "
            "break. The answer and the distractor are always among them.",
        )
        st.caption(
            "What share of a task's prompts gets its expected answer under the ablation is told in "
            "the view “Many prompts”."
        )
        switches(e.ablations, shape)
    given = [unescaped(line) for line in (st.session_state["candidates"] or "").split("\n")]
    candidates = [e.answer, e.distractor, *given]
    candidates = list(dict.fromkeys(one for one in candidates if one))
    with right:
        if not candidates:
            st.info("Type candidate answers, one a line, or an answer beside the prompt.")
            return

        def ask(e: engine.Experiment) -> engine.RankedAnswers | None:
            result: engine.RankedAnswers | None = work.result_of(
                _key(e), engine.RankAnswers(e, tuple(candidates))
            )
            return result

        ranked = answered(reading, ask)
        work.progress(_key(ranked.e))
        question, result = engine.RankAnswers(ranked.e, tuple(candidates)), ranked.result
        if result is None:
            return
        _drawn(result)
    python = (
        f"import switchboard as engine\n\ne = {ranked.e.to_python()}\n"
        f"result = {question.to_python(e='e')}\n"
        "for row in result.table():\n    print(row)\n"
    )
    _every_answer(result, python)


def _key(e: engine.Experiment) -> str:
    """Where the answer is kept; of the clean run beside what may be refused."""
    return _KEY if e.every_change else f"{_KEY} clean"


def _drawn(result: engine.RankedAnswers) -> None:
    scored = [one for one in result.answers if one.clean is not None]
    if not scored:
        return
    csv = as_csv(result.table())
    figure(result.figure(_MOST_DRAWN), "answers", csv=csv, key="answers")
    if len(scored) > _MOST_DRAWN:
        st.caption(f"The best {_MOST_DRAWN} of {len(scored):,} are drawn.")


def _every_answer(result: engine.RankedAnswers, python: str) -> None:
    shown = [_shown(one) for one in result.answers]
    show_rows(shown, 500)
    st.caption(
        plain(
            "Best first in the clean run; ▲▼ places risen or fallen when ablated. The score is the "
            "sum of the tokens' log-probabilities, given the prompt and the tokens before; the "
            "share is that among these candidates. " + " ".join(result.notes)
        )
    )
    for one in result.answers:
        if one.error:
            st.warning(plain(f"“{visible(one.text[:40])}” is not scored. {one.error}"))
    downloads(result.table(), "answers-table", python)


def _shown(one: engine.RankedAnswer) -> dict[str, object]:
    shown: dict[str, object] = {"answer": visible(one.text)}
    clean, ablated = one.clean, one.ablated
    if clean is None or ablated is None:
        return shown
    move = "" if not one.move else f" {'▲' if one.move > 0 else '▼'}{abs(one.move)}"
    return shown | {
        "rank": f"{clean.rank} → {ablated.rank}{move}",
        "clean": f"{decimal(clean.log_prob, 3)} ({percent(clean.prob)})",
        "ablated": f"{decimal(ablated.log_prob, 3)} ({percent(ablated.prob)})",
        "clean, by token": _by_token(one, clean),
        "ablated, by token": _by_token(one, ablated),
        "clean share": percent(clean.share),
        "ablated share": percent(ablated.share),
    }


def _by_token(one: engine.RankedAnswer, score: engine.AnswerScore) -> str:
    both = zip(one.tokens, score.log_probs, strict=True)
    return "  ".join(f"{visible(token)} {decimal(float(x), 3)}" for token, x in both)
