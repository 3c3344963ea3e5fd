"""Many prompts at once, clean and under sets of ablations, against random controls."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.figure import figure
from pages._parts.generate import settings
from pages._parts.generate.many_form import prompts_form, python, question_of, sets_form
from pages._parts.refusals import answered, remedies
from pages._parts.switches import switches
from pages._parts.table import Rows, as_csv, downloads, show_rows
from pages._parts.text import plain, visible

KEY = "_many"
_STOPPED = "_many_stopped"
_MOST_SHOWN = 500
_MOST_ERRORS = 3


@dataclass(frozen=True)
class Stopped:
    """What there was of a question when it was stopped, which it goes on from."""

    question: engine.GenerateMany
    rows: tuple[engine.ManyRow, ...]


def many(reading: state.Reading, shape: engine.Shape) -> None:
    """The whole view. Raises: EngineError."""
    e = reading.experiment
    settings.sampling_row()
    sides = [4, 5] if shape.n_heads <= 16 else [3, 2]
    left, right = st.columns(sides, gap="medium")
    with left:
        written, prompts, problem = prompts_form()
    with right:
        sets_form()
    left, right = st.columns(sides, gap="medium")
    with left:
        switches(e.ablations, shape)
    with right:
        if problem:
            st.error(plain(problem))
            return
        if not prompts:
            st.info("Paste prompts or choose a file.")
            return
        ran = answered(reading, lambda e: _asked(question_of(e, prompts), _key(e)))
        question, key, result = question_of(ran.e, prompts), _key(ran.e), ran.result
        n, total = len(result.rows) if result else 0, len(prompts)
        work.progress(
            key,
            f"{n:,} of {total:,} prompts{_left(key)}",
            again="Go on",
            stopped=f"Stopped: {n:,} of {total:,} prompts are done.",
            before=len(_rows_before(question)) / total,
            anew=_go_on,
        )
        if result is not None:
            _results(question, result, written, ran.e, key)
    if result is not None and result.rows:
        _every_prompt(question, result, written, key)


def _key(e: engine.Experiment) -> str:
    """Where the rows are kept; of the clean run beside what may be refused."""
    return KEY if e.every_change else f"{KEY} clean"


def _left(key: str) -> str:
    left = work.seconds_left(key)
    return "" if left is None else f", {left:.0f} s left"


def _asked(question: engine.GenerateMany, key: str) -> engine.GeneratedMany | None:
    """What there is of this question: the rows from before it was stopped, and those of now."""
    rows = _rows_before(question)
    rest = replace(question, done=tuple(row.index for row in rows))
    one = work.ask(key, rest)
    known = rows or (one.result is not None and one.result.rows)
    result: engine.GeneratedMany | None = one.result if known else one.known()
    if result is None or not rows:
        return result
    rows = tuple(sorted((*rows, *result.rows), key=lambda row: row.index))
    return replace(result, rows=rows)


def _rows_before(question: engine.GenerateMany) -> tuple[engine.ManyRow, ...]:
    before = st.session_state.get(_STOPPED)
    if isinstance(before, Stopped) and before.question == question:
        return before.rows
    return ()


def _go_on(key: str) -> None:
    one = work.find(key)
    if one is not None and isinstance(one.question, engine.GenerateMany):
        question = replace(one.question, done=())
        result = _asked(question, key)
        if result is not None:
            st.session_state[_STOPPED] = Stopped(question, result.rows)
    work.forget(key)


def _results(
    question: engine.GenerateMany,
    result: engine.GeneratedMany,
    written: str,
    e: engine.Experiment,
    key: str,
) -> None:
    totals, rows = result.totals, result.rows
    if rows and work.is_over(key):
        figure(
            result.figure(),
            "generation-shares",
            csv=as_csv(result.table()),
            python=python(question, written, "result.table()"),
            key="generation_shares",
        )
    show_rows(_totals_shown(question, totals))
    st.caption(plain(" ".join(_read(totals) + list(result.notes))))
    wrong = Counter(error for row in rows for error in {e for e in row.errors if e})
    for error, n in wrong.most_common(_MOST_ERRORS):
        whose = "1 prompt is" if n == 1 else f"{n:,} prompts are"
        st.warning(plain(f"{whose} not run, or not in every run. {error}"))
    refused = next((row for row in rows if any(row.errors) and not row.errors[0]), None)
    if refused is not None:  # its clean run is made, so that a change is the reason
        remedies(replace(e, prompt=refused.prompt))
    if len(wrong) > _MOST_ERRORS:
        st.caption(f"{len(wrong) - _MOST_ERRORS} other reasons stand in the table.")


def _every_prompt(
    question: engine.GenerateMany, result: engine.GeneratedMany, written: str, key: str
) -> None:
    rows = result.rows
    answers = any(one.answer for one in question.prompts)
    st.caption("Every prompt:")
    shown = [_shown(result.runs, row, answers) for row in rows[:_MOST_SHOWN]]
    show_rows(shown, 500)
    if len(rows) > _MOST_SHOWN:
        st.caption(f"The first {_MOST_SHOWN} of {len(rows):,}; the CSV holds them all.")
    if work.is_over(key):
        downloads(
            result.prompts_table(),
            "generation-prompts",
            python(question, written, "result.prompts_table()"),
        )


def _totals_shown(question: engine.GenerateMany, totals: tuple[engine.RunTotals, ...]) -> Rows:
    """Each run with its shares, its controls folded into a range behind it."""
    answers = any(one.answer for one in question.prompts)
    shown: Rows = []
    for t in totals:
        if t.run.control_of:
            continue
        row: dict[str, object] = {
            "run": visible(t.run.name),
            "ablated": t.run.ablations or "nothing",
            "right": _share(t.right, t.judged, answers),
            "as the clean text": "" if t.share_same is None else f"{t.share_same:.0%}",
        }
        if question.controls:
            mine = [c.share_right for c in totals if c.run.control_of == t.run.name]
            each = sorted(share for share in mine if share is not None)
            row["controls right"] = (
                f"{each[0]:.0%} to {each[-1]:.0%}, mean {sum(each) / len(each):.0%}" if each else ""
            )
        shown.append(row)
    return shown


def _share(right: int, judged: int, answers: bool) -> str:
    if judged:
        return f"{right / judged:.0%} ({right:,} of {judged:,})"
    return "not run" if answers else "no answers given"


def _read(totals: tuple[engine.RunTotals, ...]) -> list[str]:
    """How the set compares with its controls, in a sentence each."""
    sentences = []
    for t in totals:
        mine = [c for c in totals if c.run.control_of == t.run.name]
        if not mine or t.share_right is None:
            continue
        lower = sum((c.share_right or 0) <= t.share_right for c in mine)
        sentences.append(
            f"{lower} of the {len(mine)} controls of {t.run.name} leave as few right as it, or "
            "fewer."
        )
    return sentences


def _shown(runs: tuple[engine.Run, ...], row: engine.ManyRow, answers: bool) -> dict[str, object]:
    shown: dict[str, object] = {"prompt": visible(row.prompt).replace("␣", " ")}
    if answers:
        shown["answer"] = visible(row.answer)
    for run, one, error in zip(runs, row.continuations, row.errors, strict=True):
        if run.control_of:
            continue
        if run.name != "clean":
            parts = "" if one is None or one.parts_at is None else str(one.parts_at)
            shown[f"{visible(run.name)} parts at"] = parts
        mark = "" if one is None or one.right is None else "✓ " if one.right else "✗ "
        said = " ".join(filter(None, (visible(one.text), one.note))) if one else ""
        shown[visible(run.name)] = f"{mark}{said}" if one else f"not run: {error}"
    return shown
