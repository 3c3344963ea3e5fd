"""The search for a circuit, as a page shows it: begun by a button, kept beside it, resumed."""

from __future__ import annotations

import os

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.circuits import library as shelf
from pages._parts.circuits.evaluate import figures, mended_by, numbers, switch
from pages._parts.circuits.many_runs import MANY, many_runs
from pages._parts.circuits.now import on_now
from pages._parts.circuits.search_form import options
from pages._parts.experiment_form import model_shape
from pages._parts.figure import figure, python_of
from pages._parts.layout import beside_switches
from pages._parts.pairs_form import Chosen
from pages._parts.switches import not_known, switches
from pages._parts.table import as_csv
from pages._parts.text import decimal, plain

KEY = "_search"
"""Where a session keeps its search."""


def search(reading: state.Reading, chosen: Chosen) -> None:
    """The whole view. Raises: EngineError."""
    e, shape = reading.experiment, model_shape()
    question = options(e, chosen)
    work.forget(KEY if isinstance(question, engine.DiscoverMany) else MANY)
    if question is None:
        return
    if isinstance(question, engine.DiscoverMany):
        many_runs(reading, question, chosen)
        return
    one = _begun(question)
    result: engine.Discovery | None = one.result if one is not None else None
    left, right = beside_switches(shape.n_heads)
    with left:
        switches(e.ablations, shape, not_known(shape) if result is None else result.grid())
        on_now(reading, chosen)
    with right:
        if one is None:
            _button(question)
        else:
            _progress(result, question, chosen)
            if result is not None:
                _summary(result)
    if result is not None:
        _figures(result, question, chosen)


def _begun(question: engine.Discover) -> work.Asked | None:
    """The search of this question: the one that is there, or begun now where it was begun before
    and cut off; None where it waits for its button. Raises: EngineError."""
    one = work.find(KEY)
    if one is None or one.question != question:
        work.forget(KEY)
        now = st.session_state.pop("_search_now", None) == question.search.digest
        path = engine.search_path(question.search)
        if not now and not os.path.exists(path):  # Path.exists raises where it may not look
            return None
    return work.ask(KEY, question)


def _button(question: engine.Discover) -> None:
    n = len(question.search.task.pairs)
    st.button(
        "Search",
        type="primary",
        key="_begin_search",
        on_click=_begin,
        args=(question.search.digest,),
        icon=":material/search:",
    )
    st.caption(
        f"Removes nodes as long as the score over {n} pair{'' if n == 1 else 's'} holds; what is "
        "left is the circuit. It can be stopped, and goes on where it was."
    )


def _begin(digest: str) -> None:
    st.session_state["_search_now"] = digest


def _again(key: str) -> None:
    one = work.find(key)
    if one is not None and isinstance(one.question, engine.Discover):
        _begin(one.question.search.digest)
    work.forget(key)


def _progress(result: engine.Discovery | None, question: engine.Discover, chosen: Chosen) -> None:
    """How far the search is, with a way to stop it; once it is over, how it ended."""
    first = "" if result is None else f"Walk {result.walk}, {result.direction}"
    left = None if result is None else result.seconds_left
    n = 0 if result is None else len(result.trials)
    work.progress(
        KEY,
        f"{left:.0f} s left of it" if left else "",
        first=first,
        again="Go on",
        stopped=f"Stopped after {n:,} trials; what is left by then is no circuit yet.",
        anew=_again,
        refused=mended_by(
            engine.Experiment(chosen.model, method=question.search.method),
            chosen,
            KEY,
            "search_method",
            "",
        ),
    )


def _summary(result: engine.Discovery) -> None:
    search = result.search
    metric = engine.METRIC_NAMES[search.metric]
    with st.container(horizontal=True):
        st.metric(f"Clean {metric}", decimal(result.clean, 3), width="content")
        st.metric(
            "What is left",
            decimal(result.kept, 3),
            f"{result.loss:.1%} lost" if search.metric != "kl" else None,
            delta_color="off",
            delta_arrow="off",
            width="content",
        )
        st.metric("Nodes kept", f"{len(result.nodes)} of {_n_nodes(result)}", width="content")
        st.metric(
            "Trials",
            f"{len(result.trials):,}",
            f"{result.seconds:.1f} s",
            delta_color="off",
            delta_arrow="off",
            width="content",
        )
    if result.done:
        if result.beats_controls:
            st.success(plain(result.verdict))
        else:
            st.info(plain(result.verdict))
        with st.container(horizontal=True):
            st.button(
                "Keep it in the library",
                on_click=shelf.add,
                args=([result.circuit],),
                icon=":material/bookmark_add:",
            )
            for title, sites in (
                ("Keep only it", result.circuit.kept),
                ("Ablate it", result.circuit.removed),
            ):
                st.button(
                    f"{title} in the grid",
                    key=f"_{title}{KEY}",
                    on_click=switch,
                    args=(sites,),
                    icon=":material/grid_on:",
                )
        st.code(engine.print_sites(result.circuit.sites) or "no sites", language=None,
                wrap_lines=True)  # fmt: skip
    st.caption(plain(_told(result)))


def _n_nodes(result: engine.Discovery) -> int:
    shape, places = model_shape(), len(result.positions or (None,))
    return places * (len(shape.heads) + (len(shape.mlps) if result.search.mlps else 0))


def _told(result: engine.Discovery) -> str:
    """What the numbers are: sign, rule, method, what was averaged over, how many pairs."""
    search, n = result.search, len(result.search.task.pairs)
    sentence = (
        f"{engine.STRATEGIES[search.by]}. A node goes where less than {search.threshold:g} is lost "
        f"({engine.SEARCH_METRICS[search.metric]}), over {n} pair{'' if n == 1 else 's'} of "
        f"“{search.task.name}”; all that has gone is ablated by {search.method}"
    )
    if result.references:
        sentence += f", from {len(result.references)} corrupted prompts"
    if not search.mlps:
        sentence += "; MLPs are not asked about and stay"
    return " ".join((f"{sentence}.", *result.notes))


def _python(question: engine.Discover, chosen: Chosen) -> str:
    """Code that prints every trial and what the controls say."""
    fresh = {} if question.fresh is None else {"fresh": "engine.fresh_task(task)"}
    return (
        f"import switchboard as engine\n\n{chosen.python}\n"
        f"result = {question.to_python(task='task', **fresh)}\n"
        "for row in result.table():\n    print(row)\n"
    )


def _figures(result: engine.Discovery, question: engine.Discover, chosen: Chosen) -> None:
    csv = as_csv(result.table())
    figure(result.figure(), "search", csv=csv, key="search_figure")
    figure(result.trials_figure(), "trials", csv=csv, key="trials_figure")
    if result.positions is not None:
        figure(result.positions_figure(), "positions", csv=csv, key="places_figure")
    python_of(_python(question, chosen), "search")
    if result.evaluation is not None:
        where = "pairs the search did not see" if result.fresh else "the pairs it was found on"
        st.subheader(f"Put to the test on {where}")
        numbers(result.evaluation, offers=False)
        st.caption(plain(" ".join(result.evaluation.notes)))
        figures(result.evaluation, "found")
