"""What nodes or edges are ranked by, as a page has it: gradients, a sweep, the session's search, a
file of MIB's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

import engine
from pages._parts import work
from pages._parts.circuits import search as circuit_search
from pages._parts.pairs_form import Chosen
from pages._parts.text import plain, uploaded

KEY = "_curve_ranking"
"""Where a session keeps what is ranked by."""
_READ = "_curve_read"
BY = {
    "nodes": "NAP-IG, nodes",
    "edges": "EAP-IG, edges",
    "sweep": "Sweep, nodes",
    "search": "This session's search",
    "file": "A MIB file",
}
_HELP = "JSON of EAP-IG's graphs, as the MIB benchmark has them: cfg, nodes and edges with scores."


@dataclass(frozen=True)
class Given:
    """A ranking, and the Python that makes it as `ranked`."""

    ranked: engine.Ranked
    python: str


def choose() -> None:
    """Draw by what is ranked."""
    st.selectbox(
        "Ranked by",
        list(BY),
        key="ranked_by",
        format_func=BY.__getitem__,
        width=210,
        help="**NAP-IG**, **EAP-IG**: by integrated gradients between both runs. **Sweep**: by "
        "what each head or MLP alone changes when it is as in the corrupted run. **Search**: what "
        "went first ranks last. **A MIB file**: scores made elsewhere.",
    )


def given(e: engine.Experiment, chosen: Chosen) -> Given | None:
    """The ranking chosen; None while it is made, or where there is none, which is said.

    Raises: EngineError for what cannot be ranked.
    """
    by = st.session_state["ranked_by"]
    if by == "file":
        return _file(e.model)
    if by == "search":
        return _searched(e.model)
    own = engine.Experiment(e.model, method="resample")
    pairs = chosen.task.pairs
    questions: dict[str, Callable[[], engine.Question]] = {
        "nodes": lambda: engine.AttributeNodes(replace(own, method="zero"), pairs),
        "edges": lambda: engine.AttributeEdges(replace(own, method="zero"), pairs),
        "sweep": lambda: engine.Sweep(own, pairs, at="answer"),
    }
    question = questions[by]()
    one = work.ask(KEY, question)
    work.progress(KEY, first="Ranking", again="Go on" if by == "sweep" else "Begin again",
                  anew=work.go_on if by == "sweep" else work.forget)  # fmt: skip
    if not one.answered:
        return None
    return Given(_ranked(one.result), f"ranked = engine.rank_members({_python(question)})")


def _python(question: engine.Question) -> str:
    return question.to_python(pairs="task.pairs")


def _ranked(result: Any) -> engine.Ranked:
    """A result as a ranking, made once."""
    kept = st.session_state.get(_READ)
    if kept is None or kept[0] is not result:
        kept = st.session_state[_READ] = (result, engine.rank_members(result))
    ranked: engine.Ranked = kept[1]
    return ranked


def _searched(model: str) -> Given | None:
    one = work.find(circuit_search.KEY)
    result, question = (None, None) if one is None else (one.result, one.question)
    of_it = isinstance(result, engine.Discovery) and result.search.model == model
    if one is None or not of_it or not isinstance(question, engine.Discover):
        st.info(f"This session has no search in {plain(model)} yet: begin one under Search.")
        return None
    if one.going is not None:
        st.info("The search still goes on: stop it under Search, or wait until it ends.")
        return None
    fresh = {"fresh": "engine.fresh_task(task)"} if question.fresh is not None else {}
    search = question.to_python(**fresh)
    return Given(_ranked(result), f"ranked = engine.rank_members({search})")


def _file(model: str) -> Given | None:
    left, right = st.columns(2)
    left.text_area("Paste", key="_mib_text", height=110, help=_HELP)
    file = right.file_uploader("or a file", type=["json"], key="_mib_file", max_upload_size=50,
                               help=f"{_HELP} A file is not part of the link.")  # fmt: skip
    text = uploaded(file) if file is not None else st.session_state["_mib_text"] or ""
    if not text.strip():
        st.info("Paste a ranking, or choose a file.")
        return None
    name = "MIB file" if file is None else file.name.removesuffix(".json")
    kept = st.session_state.get(_READ)
    if kept is None or kept[0] != (text, model, name):
        kept = (text, model, name), engine.read_mib(text, model, name=name)
        st.session_state[_READ] = kept
    return Given(kept[1], f"ranked = engine.read_mib(open('graph.json').read(), {model!r})")
