"""Many prompts at once, clean and under sets of ablations, against random controls."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import engine
from pages._parts import components, state
from pages._parts.boxes import MATCHED, choice, whole
from pages._parts.figure import figure
from pages._parts.generate import settings
from pages._parts.generate.fields import FAMILY
from pages._parts.state import unescaped
from pages._parts.switches import switches
from pages._parts.table import Rows, as_csv, downloads
from pages._parts.text import File, plain, uploaded, visible

SOURCES = {"family": "A task family", "written": "Paste or upload"}
_MOST_SHOWN = 500
_MOST_ERRORS = 3
_EVERY = 0.4
"""Seconds between what the browser is told while rows come."""
_MOST_SETS = 20
_HELP = (
    "One a line, \\n for a line break within it; its answer behind a tab, or behind => in a line "
    "such as `1 2 3 => 4`. The leading space of the answer counts: behind => one is put in front."
)


@dataclass(frozen=True)
class Question:
    """What is asked of the engine, which is also what its rows are kept by."""

    asked: settings.Asked
    prompts: tuple[engine.Example, ...]
    n: int
    sets: tuple[tuple[str, str], ...]
    controls: int
    matched: bool
    written: str

    def options(self) -> dict[str, Any]:
        """The options of `engine.generate_many`, defaults left out."""
        told: dict[str, Any] = {"sets": dict(self.sets), **self.asked.sampling}
        if self.controls:
            told |= {"controls": self.controls, "seed": self.asked.seed}
            if not self.matched:
                told["layer_matched"] = False
        return told

    def python(self, printed: str) -> str:
        """Code that prints the rows of `printed`, an expression of `many` and `found`."""
        options = "".join(f", {name}={value!r}" for name, value in self.options().items())
        return (
            f"import switchboard as engine\n\ne = {self.asked.e.to_python()}\n"
            f"prompts = {self.written}\n"
            f"many = engine.generate_many(e, prompts, {self.n}{options})\n"
            f"found = many.result()\nfor row in {printed}:\n    print(row)\n"
        )


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
        written, prompts, problem = _prompts()
    with right:
        _sets()
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
        question = _question(e, prompts, written)
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


def _prompts() -> tuple[str, tuple[engine.Example, ...], str]:
    """Draw where the prompts come from. Returns: them as Python, themselves, what is wrong."""
    ss = st.session_state
    choice("Prompts", "source", SOURCES)
    try:
        if ss["source"] == "family":
            with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
                st.selectbox("Family", FAMILY.values, key="family", width=200)
                st.text_input("How many", key="n_prompts", width=95)
            n, seed = whole("n_prompts", "How many"), whole("seed", "Seed")
            call = f"engine.examples({ss['family']!r}, {n}, seed={seed})"
            drawn = engine.examples(ss["family"], n, seed=seed)
            if len(drawn) < n:
                st.caption(f"This family has {len(drawn)} different prompts; each is taken once.")
            return call, drawn, ""
        st.text_area("Prompts, one a line", key="prompts", height=120, help=_HELP)
        file = st.file_uploader(
            "or a file",
            type=["txt", "tsv", "csv"],
            key="prompts_file",
            help="UTF-8. A .txt or .tsv as above; a .csv has columns “prompt” and “answer”, or "
            "these two first. A file is not part of the link.",
            max_upload_size=5,
        )
        found = _written(ss["prompts"] or "")
        if file is not None:
            found += _of_file(file)
    except engine.EngineError as wrong:
        return "", (), str(wrong)
    inside = ", ".join(f"engine.Example('', {one.prompt!r}, {one.answer!r})" for one in found)
    return f"[{inside}]", found, ""


def _written(text: str) -> tuple[engine.Example, ...]:
    lines = []
    for line in text.replace("\r\n", "\n").split("\n"):
        prompt, arrow, answer = line.partition("=>")
        lines.append(
            f"{prompt.rstrip()}\t {answer.strip()}" if arrow and "\t" not in line else line
        )
    found = engine.read_examples("\n".join(lines))
    return tuple(engine.Example("", unescaped(one.prompt), unescaped(one.answer)) for one in found)


def _of_file(file: File) -> tuple[engine.Example, ...]:
    text = uploaded(file)
    if not file.name.lower().endswith((".csv", ".tsv")):
        return _written(text)
    rows = engine.read_csv(text, ("prompt", "answer"), extra=True, unnamed=True)
    return tuple(engine.Example("", row["prompt"], row.get("answer", "")) for _, row in rows)


def _sets() -> None:
    with st.container(horizontal=True, gap="small"):
        st.text_input(
            "Random controls of each set",
            key="controls",
            width=200,
            help="As many heads, MLPs and neurons, drawn without overlap, with the seed above.",
        )
        choice("Controls are", "matched", MATCHED)
    st.text_area(
        "Other sets to hold against the grid's",
        key="sets",
        height=98,
        placeholder="early: a0\nlate: 3-5.*",
        help="One a line: a name, a colon, its sites, such as `early: a0 m1` or "
        "`circuit: keep 0.1 2.3`. The grid's own set is called “ablated”.",
    )


def _question(e: engine.Experiment, prompts: tuple[engine.Example, ...], written: str) -> Question:
    ss = st.session_state
    sets = {"ablated": str(e.ablations)} if e.every_change else {}
    for line in (ss["sets"] or "").split("\n"):
        if not line.strip():
            continue
        name, colon, sites = (part.strip() for part in line.partition(":"))
        if not colon or not name:
            raise engine.EngineError(
                f"“{line.strip()[:40]}” is no set: write its name, a colon, and its sites, such as "
                "early: a0 m1."
            )
        if name in ("clean", *sets):
            raise engine.EngineError(f"There are two sets called “{name[:40]}”; rename one.")
        sets[name] = str(engine.ablations(sites))
    if len(sets) > _MOST_SETS:
        raise engine.EngineError(f"{len(sets)} sets are named; at most {_MOST_SETS}.")
    asked = settings.sampling(e)
    controls = whole("controls", "Random controls") if ss["controls"] else 0
    if controls:
        seed = whole("seed", "Seed")
        asked = replace(asked, seed=seed)
        if not sets:
            raise engine.EngineError(
                "Controls need a set to be held against: switch some heads off, or name a set."
            )
    # of its prompt and its own ablations nothing is asked here
    own = replace(e, prompt="", answer="", distractor="", ablations=engine.Ablations())
    return Question(
        replace(asked, e=own),
        prompts,
        settings.n_tokens(),
        tuple(sets.items()),
        controls,
        ss["matched"] == "layer",
        written,
    )


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
        q.asked.e, q.prompts, q.n, **q.options(), done=done, view=state.view()
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
        python=q.python("engine.totals_table(found.totals)"),
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
            kept.question.python("engine.many_table(many.runs, found.rows)"),
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
