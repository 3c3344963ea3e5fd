"""Many prompts at once, clean and under sets of ablations, against random controls."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from time import monotonic

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import engine
from pages._parts import components, state
from pages._parts.figure import figure
from pages._parts.generate import settings
from pages._parts.generate.many_form import Question, prompts_form, question_of, sets_form
from pages._parts.switches import switches
from pages._parts.table import Rows, as_csv, downloads
from pages._parts.text import plain, visible

_MOST_SHOWN = 500
_MOST_ERRORS = 3
_EVERY = 0.4
"""Seconds between what the browser is told while rows come."""


@dataclass
class Kept:
    """The rows of a question so far. `over`: there will be no more, for they are all there, the
    reader has stopped them, or it has `failed`."""

    question: Question
    rows: list[engine.ManyRow]
    runs: tuple[engine.Run, ...] = ()
    notes: tuple[str, ...] = ()
    over: bool = False
    failed: str = ""


def many(e: engine.Experiment, shape: engine.Shape) -> None:
    """The whole view. Raises: EngineError."""
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
        question = question_of(e, prompts, written)
        kept = _kept(question)
        if kept.over:
            _results(kept)
    if not kept.over:
        below = st.container()
        state.write_link(e)  # the script is long here, and the address must not wait
        with right:
            _run(kept, below)
        st.rerun()
    _every_prompt(kept)


def _kept(question: Question) -> Kept:
    """What there is of this question. Rows that may still be added to by a run that is being ended
    are not touched: a copy goes on."""
    kept = st.session_state.get("_many")
    if isinstance(kept, Kept) and kept.question == question:
        kept = replace(kept, rows=list(kept.rows))
    else:
        kept = Kept(question, [])
    st.session_state["_many"] = kept
    return kept


def _run(kept: Kept, below: DeltaGenerator) -> None:
    """Run what the question lacks, telling how far it is, the totals and the rows so far."""
    q = kept.question
    done = [row.index for row in kept.rows]
    going = engine.generate_many(
        q.question.e, q.prompts, q.n, **q.options(), done=done, view=state.view()
    )
    st.session_state["_going"] = going
    kept.runs, kept.notes = going.runs, going.notes
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Stop", key="_stop_many", on_click=_stop, icon=":material/stop:", type="primary")
        bar = st.progress(first := len(done) / len(q.prompts))
    totals, every = st.empty(), below.empty()
    begun, told, drawn = monotonic(), 0.0, 0
    try:
        for row in going.within(_EVERY):
            if row is not None:
                kept.rows.append(row)
            if monotonic() - told < _EVERY:
                continue
            told, share = monotonic(), going.progress
            left = (told - begun) * (1 - share) / (share - first) if share > first else 0.0
            here = f"{len(kept.rows):,} of {len(q.prompts):,}"
            bar.progress(share, f"{here}, {left:.0f} s left" if left else here)
            if len(kept.rows) > drawn:
                drawn = len(kept.rows)
                totals.dataframe(_totals_shown(kept), hide_index=True)
                with every.container():
                    _rows(kept)
        kept.over = True
    except engine.EngineError as wrong:
        st.container()  # goes no further where another run has taken this one's place
        kept.over, kept.failed = True, str(wrong)
    finally:
        going.cancel()


def _stop() -> None:
    kept, going = st.session_state.get("_many"), st.session_state.get("_going")
    if isinstance(kept, Kept):
        kept.over = True
    if going is not None:
        going.cancel()


def _go_on() -> None:
    kept = st.session_state.get("_many")
    if isinstance(kept, Kept):
        kept.over, kept.failed = False, ""


def _results(kept: Kept) -> None:
    q = kept.question
    rows = sorted(kept.rows, key=lambda row: row.index)
    if len(rows) < len(q.prompts):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Try again" if kept.failed else "Go on",
                key="_go_on_many",
                on_click=_go_on,
                icon=":material/play_arrow:",
            )
            st.caption(f"Stopped: {len(rows):,} of {len(q.prompts):,} prompts are done.")
    if kept.failed:
        st.error(plain(kept.failed))
    if not rows:
        return
    totals = engine.run_totals(kept.runs, rows)
    components.library("plotly")
    figure(
        engine.draw_shares(totals),
        "generation-shares",
        csv=as_csv(engine.totals_table(totals)),
        python=q.python("engine.totals_table(result.totals)"),
        key="generation_shares",
    )
    st.dataframe(_totals_shown(kept), hide_index=True)
    st.caption(plain(" ".join(_read(totals) + list(kept.notes))))
    wrong = Counter(error for row in rows for error in {e for e in row.errors if e})
    for error, n in wrong.most_common(_MOST_ERRORS):
        whose = "1 prompt is" if n == 1 else f"{n:,} prompts are"
        st.warning(plain(f"{whose} not run, or not in every run. {error}"))
    if len(wrong) > _MOST_ERRORS:
        st.caption(f"{len(wrong) - _MOST_ERRORS} other reasons stand in the table.")


def _every_prompt(kept: Kept) -> None:
    if kept.rows:
        _rows(kept)
        downloads(
            engine.many_table(kept.runs, kept.rows),
            "generation-prompts",
            kept.question.python("engine.many_table(many.runs, result.rows)"),
        )


def _rows(kept: Kept) -> None:
    rows = sorted(kept.rows, key=lambda row: row.index)
    st.caption("Every prompt:")
    shown = [_shown(kept, row) for row in rows[:_MOST_SHOWN]]
    st.dataframe(shown, hide_index=True, height="content" if len(shown) <= 14 else 500)
    if len(rows) > _MOST_SHOWN:
        st.caption(f"The first {_MOST_SHOWN} of {len(rows):,}; the CSV holds them all.")


def _totals_shown(kept: Kept) -> Rows:
    """Each run with its shares, its controls folded into a range behind it."""
    totals = engine.run_totals(kept.runs, kept.rows)
    asked = any(one.answer for one in kept.question.prompts)
    shown: Rows = []
    for t in totals:
        if t.run.control_of:
            continue
        row: dict[str, object] = {
            "run": visible(t.run.name),
            "ablated": t.run.ablations or "nothing",
            "right": _of(t.right, t.judged, asked),
            "as the clean text": "" if t.share_same is None else f"{t.share_same:.0%}",
        }
        if kept.question.controls:
            mine = [c.share_right for c in totals if c.run.control_of == t.run.name]
            each = sorted(share for share in mine if share is not None)
            row["controls right"] = (
                f"{each[0]:.0%} to {each[-1]:.0%}, mean {sum(each) / len(each):.0%}" if each else ""
            )
        shown.append(row)
    return shown


def _of(right: int, judged: int, asked: bool) -> str:
    if judged:
        return f"{right / judged:.0%} ({right:,} of {judged:,})"
    return "not run" if asked else "no answers given"


def _read(totals: tuple[engine.RunTotals, ...]) -> list[str]:
    """How the set compares with its controls, in a sentence each."""
    told = []
    for t in totals:
        mine = [c for c in totals if c.run.control_of == t.run.name]
        if not mine or t.share_right is None:
            continue
        lower = sum((c.share_right or 0) <= t.share_right for c in mine)
        told.append(
            f"{lower} of the {len(mine)} controls of {t.run.name} leave as few right as it, or "
            "fewer."
        )
    return told


def _shown(kept: Kept, row: engine.ManyRow) -> dict[str, object]:
    told: dict[str, object] = {"prompt": visible(row.prompt).replace("␣", " ")}
    if any(one.answer for one in kept.question.prompts):
        told["answer"] = visible(row.answer)
    for run, one, error in zip(kept.runs, row.continuations, row.errors, strict=True):
        if run.control_of:
            continue
        if run.name != "clean":
            parts = "" if one is None or one.parts_at is None else str(one.parts_at)
            told[f"{visible(run.name)} parts at"] = parts
        mark = "" if one is None or one.right is None else "✓ " if one.right else "✗ "
        said = " ".join(filter(None, (visible(one.text), one.note))) if one else ""
        told[visible(run.name)] = f"{mark}{said}" if one else f"not run: {error}"
    return told
