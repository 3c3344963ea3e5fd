"""Scores by length as a page shows them: the work kept beside the page, the figure, the tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import choice
from pages._parts.figure import figure
from pages._parts.length.fields import LENGTH_METRIC
from pages._parts.pairs_form import Chosen
from pages._parts.refusals import remedies
from pages._parts.table import Rows, as_csv, table
from pages._parts.text import percent, plain, points, visible

KEY = "_lengths"
"""Where a session keeps its scores by length; those of the clean run alone beside it."""


def metric_choice() -> None:
    """Draw what is followed over the lengths."""
    choice(
        "Follow",
        LENGTH_METRIC.name,
        {m: engine.METRIC_NAMES[m].capitalize() for m in LENGTH_METRIC.values},
        help="\n\n".join(
            f"**{engine.METRIC_NAMES[m].capitalize()}**: {engine.METRICS[m]}."
            for m in LENGTH_METRIC.values
        ),
    )


def scored(reading: state.Reading, chosen: Chosen) -> None:
    """Ask what the form says and draw the answer; where the changes cannot be made, why, and the
    clean run alone. Raises: EngineError for what cannot be asked of the clean one either."""
    e = reading.experiment
    question, key = question_of(e, chosen), KEY
    wrong = None if reading.unread else work.ask(key, question).failed
    cut = not isinstance(wrong, engine.NoSequence)
    if wrong is not None and cut and e.every_change and chosen.score is not None:
        _refused(wrong, e, chosen)
    if reading.unread or (wrong is not None and cut and e.every_change):
        question, key = question_of(e.clean, chosen), f"{KEY} clean"
    try:
        result: engine.LengthScores | None = work.result_of(key, question)
    except engine.NoSequence as told:
        st.info(plain(told))
        return
    n = len(chosen.task.pairs)
    work.progress(key, f"{n:,} prompts at each length" if n > 1 else "each length")
    if result is not None:
        _drawn(result, question, chosen)


def question_of(e: engine.Experiment, chosen: Chosen) -> engine.ScoreLengths:
    """What is asked: of the experiment's own prompt, or of the pairs chosen."""
    if st.session_state["over"] == "prompt":
        return engine.ScoreLengths(e)
    own = replace(e, prompt="", corrupted="", answer="", distractor="")
    return engine.ScoreLengths(own, chosen.task.pairs)


def _refused(wrong: engine.EngineError, e: engine.Experiment, chosen: Chosen) -> None:
    """Say why the changes cannot be made of the prompts, with what would mend them."""
    st.warning(plain(wrong))
    if st.session_state["over"] == "prompt":
        remedies(e, KEY)
        return
    pair, references = chosen.task.pairs[0], e.references or chosen.task.references
    asked = replace(e, prompt=pair.prompt, corrupted=pair.corrupted, references=references)
    remedies(asked, KEY, goes=lambda remedy: remedy.experiment.corrupted == pair.corrupted)


def _drawn(result: engine.LengthScores, question: engine.ScoreLengths, chosen: Chosen) -> None:
    metric = str(st.session_state[LENGTH_METRIC.name])
    figure(
        result.figure(metric),
        "length",
        csv=as_csv(result.table()),
        python=_python(question, chosen, "table"),
        key="length_figure",
    )
    st.caption(plain(" ".join((_read(result, metric), *result.notes))))
    alone = len(result.pairs) == 1
    shown = _one_prompt(result, metric) if alone else _means(result, metric)
    table(
        result.prompts_table(),
        "length-prompts",
        _python(question, chosen, "prompts_table"),
        shown=shown,
    )


def _python(question: engine.ScoreLengths, chosen: Chosen, rows: str) -> str:
    named = {} if question.pairs is None else {"pairs": "task.pairs"}
    task = f"{chosen.python}\n" if named else ""
    return (
        f"import switchboard as engine\n\n{task}result = {question.to_python(**named)}\n"
        f"for row in result.{rows}():\n    print(row)\n"
    )


def _read(result: engine.LengthScores, metric: str) -> str:
    """How the figure is read: what is asked at each length, how many prompts, sign, limits."""
    n = len(result.pairs)
    senses = {
        "prob": "of the next term, 0 to 1",
        "log_prob": "nats, at most 0",
        "rank": "1, the best, on top",
        "logit_diff": "positive where the next term is ahead of the last one shown",
    }
    text = (
        f"{engine.METRIC_NAMES[metric].capitalize()} ({senses[metric]}) with the prompt cut to its "
        "first 1, 2, … terms, "
    )
    if n == 1:
        text += "of one prompt."
    else:
        text += f"mean of {n:,} prompts, bars one standard deviation to each side."
    if result.ablated is not None:
        e = result.experiment
        text += (
            f" Dashed is ablated ({'; '.join(map(str, e.every_change))}), change ablated − clean."
        )
    return text + (
        " A rise does not show that the sequence is understood: later terms are other terms, and "
        "one term shown has no step to go on."
    )


def _one_prompt(result: engine.LengthScores, metric: str) -> Rows:
    """A row a length: what is asked, and its number in each run."""
    rows: Rows = []
    for k, pair in enumerate(result.shown[0]):
        values = {run: float(result.values(run, metric)[0, k]) for run in result.runs}
        rows.append(
            {
                "terms": k + 1,
                "answer": visible(pair.answer),
                "distractor": visible(pair.distractor),
                **_numbers(metric, values),
                "prompt": visible(pair.prompt).replace("␣", " "),
            }
        )
    return rows


def _means(result: engine.LengthScores, metric: str) -> Rows:
    """A row a length: how many prompts, mean and standard deviation in each run."""
    rows: Rows = []
    for k in result.lengths:
        values = {run: float(result.mean(run, metric)[k - 1]) for run in result.runs}
        spreads = {run: float(result.spread(run, metric)[k - 1]) for run in result.runs}
        counts = {str(int(result.n(run, metric)[k - 1])) for run in result.runs}
        row: dict[str, object] = {"terms": k, "prompts": " / ".join(sorted(counts, reverse=True))}
        for name, text in _numbers(metric, values).items():
            row[name] = text
            if name in spreads:
                row[f"± {name}"] = _number(metric, spreads[name])
        rows.append(row)
    return rows


def _numbers(metric: str, values: dict[str, float]) -> dict[str, str]:
    """The number of each run, and ablated − clean."""
    row = {run: _number(metric, value) for run, value in values.items()}
    if "ablated" in values:
        change = values["ablated"] - values["clean"]
        told = points(change) if metric == "prob" else f"{change:+.3f}".replace("-", "−")
        row["change, points" if metric == "prob" else "change"] = "" if np.isnan(change) else told
    return row


def _number(metric: str, value: float) -> str:
    if np.isnan(value):
        return ""
    return (
        percent(value)
        if metric == "prob"
        else f"{value:.3f}".removesuffix(".000").replace("-", "−")
    )
