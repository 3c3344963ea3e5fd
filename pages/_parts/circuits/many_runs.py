"""The same search run several times, as a page shows it: how often each node is kept."""

from __future__ import annotations

import numpy as np
import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.circuits import library as shelf
from pages._parts.circuits.evaluate import mended_by
from pages._parts.circuits.now import on_now
from pages._parts.experiment_form import model_shape
from pages._parts.figure import figure, python_of
from pages._parts.layout import beside_switches
from pages._parts.pairs_form import Chosen
from pages._parts.switches import not_known, switches
from pages._parts.table import as_csv, show_rows
from pages._parts.text import percent, plain

MANY = "_many_searches"
"""Where a session keeps its runs."""
_NOW = "_many_now"
_MARKS = "\n\n".join((
    "J is the mean over every two circuits, c that of random circuits of their sizes.",
    *(f"**{word}**: {meaning}." for word, meaning in engine.MARKS.items()),
))  # fmt: skip


def many_runs(reading: state.Reading, question: engine.DiscoverMany, chosen: Chosen) -> None:
    """The whole view, below the widgets. Raises: EngineError."""
    e, shape = reading.experiment, model_shape()
    one = _begun(question)
    result: engine.DiscoveredMany | None = None if one is None else one.result
    there = result is not None and result.n > 0
    left, right = beside_switches(shape.n_heads)
    with left:
        switches(e.ablations, shape, result.grid() if result and there else not_known(shape))
        on_now(reading, chosen)
    with right:
        if one is None:
            _button(question)
        else:
            _progress(result, question, chosen)
            if result and there:
                _summary(result)
    if result and there:
        _figures(result, question, chosen)


def _begun(question: engine.DiscoverMany) -> work.Asked | None:
    """The runs of this question, begun where the button was pressed for it; else None."""
    one = work.find(MANY)
    if one is None or one.question != question:
        work.forget(MANY)
        if st.session_state.pop(_NOW, None) != question:
            return None
    return work.ask(MANY, question)


def _begin(question: engine.DiscoverMany) -> None:
    st.session_state[_NOW] = question


def _button(question: engine.DiscoverMany) -> None:
    label = f"Search {question.runs} times"
    st.button(label, type="primary", key="_begin_runs", on_click=_begin, args=(question,),
              icon=":material/search:")  # fmt: skip
    first, n = question.search.task.seed or 0, len(question.search.task.pairs)
    drawn = (
        f"{n} pairs each, drawn with seeds {first} to {first + question.runs - 1}"
        if question.drawn
        else f"as many of the {n} pairs each, drawn with replacement"
    )
    st.caption(plain(
        f"The same search {question.runs} times, on {drawn}: how much of its circuit it finds "
        "again. It can be stopped, and goes on where it was."
    ))  # fmt: skip


def _progress(
    result: engine.DiscoveredMany | None, question: engine.DiscoverMany, chosen: Chosen
) -> None:
    over = 0 if result is None else result.n + len(result.refused)
    left = None if result is None else result.seconds_left
    work.progress(
        MANY,
        f"{left:.0f} s left" if left else "",
        first=f"Run {min(over + 1, question.runs)} of {question.runs}",
        again="Go on",
        stopped=f"Stopped after {over} of {question.runs} runs.",
        anew=work.go_on,
        refused=mended_by(
            engine.Experiment(chosen.model, method=question.search.method), chosen, MANY,
            "search_method", "",
        ),
    )  # fmt: skip


def _summary(result: engine.DiscoveredMany) -> None:
    with st.container(horizontal=True):
        st.metric("Runs", f"{result.n} of {result.asked}", width="content")
        if result.n > 1:
            st.metric("Nodes kept", _spread(result.sizes, "{:.1f}"), width="content")
            st.metric("Faithfulness", _spread(100 * result.faithfulness, "{:.0f}", "%"),
                      width="content")  # fmt: skip
            st.metric("Jaccard index", f"{result.jaccard:.2f}", f"chance {result.chance:.2f}",
                      delta_color="off", delta_arrow="off", width="content",
                      help=_MARKS)  # fmt: skip
            st.metric("Rank correlation", _spread(result.spearman, "{:.2f}"), width="content",
                      help="Spearman's, of how every two runs rank the nodes.")  # fmt: skip
    if result.verdict:
        (st.success if result.mark == "stable" else st.info)(plain(result.verdict))
    if result.done:
        st.button(
            "Keep the consensus in the library",
            on_click=shelf.add,
            args=([result.consensus],),
            icon=":material/bookmark_add:",
            help="The nodes kept in at least half of the runs.",
        )
        st.code(engine.print_sites(result.consensus.sites) or "no sites", language=None,
                wrap_lines=True)  # fmt: skip
    st.caption(plain(_told(result)))


def _spread(values: np.ndarray, form: str, unit: str = "") -> str:
    """Mean and standard deviation of what is known."""
    known = values[np.isfinite(values)]
    if not len(known):
        return "not known"
    spread = f" ± {form.format(known.std(ddof=1))}" if len(known) > 1 else ""
    return form.format(known.mean()) + spread + unit


def _told(result: engine.DiscoveredMany) -> str:
    """What the numbers are of, the mark's words, and which runs gave nothing."""
    n = len(result.search.task.pairs)
    drawn = "drawn with replacement" if result.resampled else "drawn with a seed of its own"
    fresh = sum(run.fresh for run in result.runs)
    where = (
        "pairs its search did not see"
        if fresh == result.n
        else "the pairs it was found on"
        if not fresh
        else f"pairs its search did not see in {fresh} runs, in the others those it was found on"
    )
    refused = [f"Seed {seed} gave no circuit: {why}" for seed, why in result.refused]
    sentences = (
        f"{engine.STRATEGIES[result.search.by]}.",
        f"Each run is on {n} pairs, {drawn}, and its circuit judged on {where}. ± is the standard "
        "deviation over runs, of correlations over every two of them.",
        *refused,
    )
    return " ".join(sentences)


def _figures(result: engine.DiscoveredMany, question: engine.DiscoverMany, chosen: Chosen) -> None:
    runs = result.runs_table()
    figure(result.figure(), "runs", csv=as_csv(result.table()), key="runs_figure")
    python_of(_python(question, chosen), "runs")
    show_rows(
        [
            {
                "seed": row["seed"],
                "nodes": row["nodes"],
                "lost": percent(run.loss) if run.search.metric != "kl" else f"{run.loss:.3f} nats",
                "faithfulness": percent(faithful),
                "on": row["judged_on"],
                "sites": row["sites"],
            }
            for row, run, faithful in zip(
                runs, result.runs, result.faithfulness.tolist(), strict=True
            )
        ]
    )
    wanted = ("site", "kept", "share", "importance", "sd")
    rows = [{k: _shown(row[k]) for k in wanted} for row in result.table()]
    show_rows(rows)


def _shown(value: object) -> object:
    return round(value, 4) if isinstance(value, float) else value


def _python(question: engine.DiscoverMany, chosen: Chosen) -> str:
    """Code that prints in how many runs each node is kept, and what each run found."""
    task = chosen.python.partition("\ntask = task.without_wrong(")[0]
    return (
        f"import switchboard as engine\n\n{task}\n"
        f"result = {question.to_python(task='task')}\n"
        "print(result.verdict)\n"
        "for row in (*result.table(), *result.runs_table()):\n    print(row)\n"
    )
