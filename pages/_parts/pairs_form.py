"""Which prompts a sweep or a circuit is asked of: the widgets, and the task they say."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

import engine
from pages._parts import styles, work
from pages._parts.boxes import choice, whole
from pages._parts.fields import Choice, Text
from pages._parts.table import show_rows
from pages._parts.text import percent, plain, signed, uploaded, visible

OVER = {"prompt": "The prompt above", "family": "A task family", "written": "Paste or upload"}
WHICH = {"all": "all", "right": "those it gets right"}
TASK = Choice("task", engine.pair_families())
FIELDS = (
    Choice("over", tuple(OVER)),
    TASK,
    styles.STYLE,
    Choice("which", tuple(WHICH)),
    Text("n_pairs", "12"),
    Text("pairs"),
    Text("seed", "0"),
)
"""The fields of the link of every page that has this form."""
_DRAWN, _SCORED = "_drawn_pairs", "_scored_pairs"
_MOST_SHOWN = 300
_HELP = (
    "CSV whose first line names its columns (prompt, corrupted, answer, distractor), or JSON, an "
    "object a line. Texts are taken as they stand: a leading space counts."
)


@dataclass(frozen=True)
class Chosen:
    """A task, how the model does on it with nothing ablated (None where that cannot be scored, with
    the reason), the pairs of it that are asked, and the Python that makes them."""

    model: str
    whole: engine.Task
    score: engine.TaskScore | None
    problem: str
    task: engine.Task
    python: str


def pairs_form(e: engine.Experiment) -> Chosen | None:
    """Draw the widgets. Returns: None while the pairs are drawn or scored, or that was stopped.

    Raises: EngineError for what cannot be read, or drawn for this model.
    """
    ss = st.session_state
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        choice("Asked of", "over", OVER)
        if ss["over"] == "family":
            st.selectbox("Family", TASK.values, key="task", width=185)
            styles.box(e.model, ss["task"])
            st.text_input("Pairs", key="n_pairs", width=65)
            st.text_input("Seed", key="seed", width=65)
        if ss["over"] != "prompt":
            choice("Keep", "which", WHICH)
        if ss["over"] == "family":
            styles.table(e.model)
    task, python = _task(e)
    if task is None:
        work.progress(_DRAWN, "Drawing pairs")
        return None
    one = work.ask(_SCORED, engine.ScoreTask(e.model, task))
    if not one.answered and not one.failed:
        work.progress(_SCORED, "Scoring pairs")
        return None
    chosen = _chosen(e, task, python, one.result, str(one.failed or ""))
    if ss["over"] != "prompt":
        _shown(chosen)
    return chosen


def drawn_by(model: str) -> engine.DrawTask:
    """The family and style that the widgets say, drawn for a model."""
    family, style = (st.session_state[field.name] for field in (TASK, styles.STYLE))
    return engine.DrawTask(family, model, style=styles.style_of(family, style))


def _task(e: engine.Experiment) -> tuple[engine.Task | None, str]:
    """The task that the widgets say, None while it is drawn, and the Python that makes it."""
    over = st.session_state["over"]
    if over == "prompt":
        if not e.prompt:
            raise engine.EmptyPrompt("The prompt is empty: type something.")
        pair = engine.Pair(e.prompt, e.corrupted, e.answer, e.distractor)
        task = engine.Task("the prompt above", (pair,))
        return task, f"task = engine.Task({task.name!r}, ({_pair(pair)},))"
    if over == "family":
        question = replace(
            drawn_by(e.model), n=whole("n_pairs", "Pairs"), seed=whole("seed", "Seed")
        )
        one = work.ask(_DRAWN, question)
        drawn = one.known()
        return (drawn if one.answered else None), f"task = {question.to_python()}"
    text = _written()
    if not text.strip():
        raise engine.EngineError("Paste pairs, one a line below their columns' names.")
    task = engine.read_task(text, "your own")
    return task, f"task = engine.read_task({text!r}, {task.name!r})"


def _written() -> str:
    """The pairs that are pasted, or those of a file."""
    st.text_area("Pairs, one a line", key="pairs", height=110, help=_HELP)
    file = st.file_uploader(
        "or a file",
        type=["csv", "jsonl"],
        key="pairs_file",
        help=f"{_HELP} A file is not part of the link.",
        max_upload_size=5,
    )
    return uploaded(file) if file is not None else st.session_state["pairs"] or ""


def _chosen(
    e: engine.Experiment,
    task: engine.Task,
    python: str,
    score: engine.TaskScore | None,
    problem: str,
) -> Chosen:
    """The pairs that are asked of those there are. Raises: EngineError where none are left."""
    ss = st.session_state
    if ss["over"] == "prompt" or ss["which"] == "all":
        return Chosen(e.model, task, score, problem, task, python)
    if score is None:
        raise engine.EngineError(problem)
    python += f"\ntask = task.without_wrong(engine.score_task({e.model!r}, task))"
    return Chosen(e.model, task, score, problem, task.without_wrong(score), python)


def _pair(pair: engine.Pair) -> str:
    return f"engine.Pair({pair.prompt!r}, {pair.corrupted!r}, {pair.answer!r}, {pair.distractor!r})"


def _shown(chosen: Chosen) -> None:
    """How the model does on the pairs, and the pairs themselves."""
    task, score = chosen.whole, chosen.score
    n = len(task.pairs)
    sentence = f"{n:,} pair{'' if n == 1 else 's'}"
    if task.n_tokens is not None:
        sentence += f" of {task.n_tokens} tokens"
    if score is not None:
        sentence += f"; clean {score.clean.right.sum()} of {n} right"
        if score.clean.mean_logit_diff is not None:
            sentence += f", mean logit difference {signed(score.clean.mean_logit_diff)}"
    if len(chosen.task.pairs) < n:
        sentence += f"; {len(chosen.task.pairs)} kept"
    with st.expander(plain(sentence)):
        rows: list[dict[str, object]] = []
        for i, pair in enumerate(task.pairs[:_MOST_SHOWN]):
            row: dict[str, object] = {
                name: visible(getattr(pair, name))
                for name in ("prompt", "corrupted", "answer", "distractor")
            }
            row |= {n: str(row[n]).replace("␣", " ") for n in ("prompt", "corrupted")}
            if score is not None:
                row |= {
                    "right": bool(score.clean.right[i]),
                    "logit difference": float(score.clean.logit_diff[i]),
                    "P(answer)": percent(float(score.clean.prob[i])),
                    "rank": int(score.clean.rank[i]),
                }
            rows.append(row)
        show_rows(rows, 500)
        if n > _MOST_SHOWN:
            st.caption(f"The first {_MOST_SHOWN} of {n:,}.")
    for note in (*task.notes, *((chosen.problem,) if chosen.problem else ())):
        st.caption(plain(note))
