"""Which prompts a sweep or a circuit is asked of: the widgets, and the task they say."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

import engine
from pages._parts import state
from pages._parts.boxes import choice, whole
from pages._parts.text import percent, plain, signed, uploaded, visible

OVER = {"prompt": "The prompt above", "family": "A task family", "written": "Paste or upload"}
WHICH = {"all": "all", "right": "those it gets right"}
_MOST_SHOWN = 300
_HELP = (
    "CSV whose first line names its columns (prompt, corrupted, answer, distractor), or JSON, an "
    "object a line. Texts are taken as they stand: a leading space counts."
)


@dataclass(frozen=True)
class Chosen:
    """A task, how the model does on it with nothing ablated (None where that cannot be scored, with
    the reason), the pairs of it that are asked, and the Python that makes them."""

    whole: engine.Task
    score: engine.TaskScore | None
    problem: str
    task: engine.Task
    python: str


def pairs_form(e: engine.Experiment) -> Chosen:
    """Draw the widgets. Raises: EngineError for what cannot be read, or drawn for this model."""
    ss = st.session_state
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        choice("Asked of", "over", OVER)
        if ss["over"] == "family":
            st.selectbox("Family", state.CHOICES["task"], key="task", width=210)
            st.text_input("Pairs", key="n_pairs", width=75)
            st.text_input("Seed", key="seed", width=75)
        if ss["over"] != "prompt":
            choice("Keep", "which", WHICH)
    made = _task(e)
    if ss.get("_task_of") != made:
        ss["_task"], ss["_task_of"] = None, made
        ss["_task"] = _scored(e, *made)
    chosen = ss["_task"] or _scored(e, *made)
    if ss["over"] != "prompt":
        _shown(chosen)
    return chosen


def _task(e: engine.Experiment) -> tuple[str, str, tuple[object, ...]]:
    """What the widgets ask for, as values that tell one task from another."""
    ss = st.session_state
    which = ss["which"] if ss["over"] != "prompt" else "all"
    if ss["over"] == "prompt":
        return "prompt", which, (e.model, e.prompt, e.corrupted, e.answer, e.distractor)
    if ss["over"] == "family":
        return "family", which, (e.model, ss["task"], whole("n_pairs", "Pairs"), _seed())
    st.text_area("Pairs, one a line", key="pairs", height=110, help=_HELP)
    file = st.file_uploader(
        "or a file",
        type=["csv", "jsonl"],
        key="pairs_file",
        help=f"{_HELP} A file is not part of the link.",
        max_upload_size=5,
    )
    text = ss["pairs"] or ""
    if file is not None:
        text = uploaded(file)
    return "written", which, (e.model, text)


def _seed() -> int:
    return whole("seed", "Seed")


def _scored(e: engine.Experiment, over: str, which: str, said: tuple[object, ...]) -> Chosen:
    task: engine.Task
    match over, said:
        case "prompt", (_, "", *_):
            raise engine.EngineError("The prompt is empty: type something.")
        case "prompt", (_, prompt, corrupted, answer, distractor):
            pair = engine.Pair(str(prompt), str(corrupted), str(answer), str(distractor))
            task = engine.Task("the prompt above", (pair,))
            python = f"task = engine.Task({task.name!r}, ({_pair(pair)},))"
        case "family", (model, family, int(n), int(seed)):
            task = engine.task(str(family), str(model), n, seed)
            python = f"task = engine.task({family!r}, {model!r}, {n}, seed={seed})"
        case _, (_, str(text)):
            if not text.strip():
                raise engine.EngineError("Paste pairs, one a line below their columns' names.")
            task = engine.read_task(text, "your own")
            python = f"task = engine.read_task({text!r}, {task.name!r})"
        case _:
            raise AssertionError(over)
    score, problem, kept = None, "", task
    try:
        score = engine.score_task(e.model, task, view=f"{state.view()} task")
    except engine.EngineError as wrong:
        problem = str(wrong)
    if which == "right":
        if score is None:
            raise engine.EngineError(problem)
        kept = task.without_wrong(score)
        python += f"\ntask = task.without_wrong(engine.score_task({e.model!r}, task))"
    return Chosen(task, score, problem, kept, python)


def _pair(pair: engine.Pair) -> str:
    return f"engine.Pair({pair.prompt!r}, {pair.corrupted!r}, {pair.answer!r}, {pair.distractor!r})"


def _shown(chosen: Chosen) -> None:
    """How the model does on the pairs, and the pairs themselves."""
    task, score = chosen.whole, chosen.score
    n = len(task.pairs)
    told = f"{n:,} pair{'' if n == 1 else 's'}"
    if task.n_tokens is not None:
        told += f" of {task.n_tokens} tokens"
    if score is not None:
        told += f"; clean {score.clean.right.sum()} of {n} right"
        if score.clean.mean_logit_diff is not None:
            told += f", mean logit difference {signed(score.clean.mean_logit_diff)}"
    if len(chosen.task.pairs) < n:
        told += f"; {len(chosen.task.pairs)} kept"
    with st.expander(plain(told)):
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
        st.dataframe(rows, hide_index=True, height="content" if len(rows) <= 14 else 500)
        if n > _MOST_SHOWN:
            st.caption(f"The first {_MOST_SHOWN} of {n:,}.")
    for note in (*task.notes, *((chosen.problem,) if chosen.problem else ())):
        st.caption(plain(note))
