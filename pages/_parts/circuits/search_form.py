"""What is asked of a search: the widgets of its rule, and the question they make."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import work
from pages._parts.boxes import choice, number, whole
from pages._parts.circuits.fields import SEARCH_METHOD, SEARCH_METRIC, STRATEGY
from pages._parts.pairs_form import Chosen

STRATEGY_NAMES = {
    "pruning": "Iterative pruning", "greedy": "Greedy", "gradient": "By gradient",
    "nap-ig": "NAP-IG", "eap-ig": "EAP-IG",
}  # fmt: skip
NODES = {"both": "heads and MLPs", "heads": "heads"}
PER = {"site": "everywhere", "position": "at each position"}
JUDGED = {"fresh": "fresh pairs", "same": "the same pairs"}
_NOT_FRESH = (
    "There are no fresh pairs to judge the circuit on: pairs of one's own have none, nor has a "
    "family whose prompts are all asked. It is judged on those it is found on, which a search fits."
)


def options(e: engine.Experiment, chosen: Chosen) -> engine.Discover | engine.DiscoverMany | None:
    """Draw the widgets. Returns: what the engine is asked, of more than one run all of them; None
    while fresh pairs are drawn.

    Raises: EngineError for no number.
    """
    ss = st.session_state
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox(
            "Search",
            STRATEGY.values,
            key="strategy",
            format_func=STRATEGY_NAMES.__getitem__,
            width=190,
            help="\n\n".join(f"{definition}." for definition in engine.STRATEGIES.values()),
        )
        if ss["strategy"] == "pruning":
            choice("First", "direction", {way: way for way in engine.DIRECTIONS})
        if ss["strategy"] in engine.BY_GRADIENTS:
            st.text_input(
                "Steps",
                key="gradient_steps",
                width=70,
                help="Runs between the corrupted and the clean one in which gradients are taken.",
            )
        choice("Nodes are", "nodes", NODES)
        choice("Each ablated", "per", PER)
        st.text_input(
            "Runs",
            key="runs",
            width=70,
            help="The same search so many times, each on other pairs: a family's with the next "
            "seed, one's own drawn with replacement. 1 is the search itself.",
        )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox(
            "What may be lost",
            SEARCH_METRIC.values,
            key="search_metric",
            format_func=engine.METRIC_NAMES.__getitem__,
            width=190,
            help="\n\n".join(
                f"**{engine.METRIC_NAMES[m]}**: {definition}."
                for m, definition in engine.SEARCH_METRICS.items()
            ),
        )
        st.text_input(
            "At most",
            key="threshold",
            width=80,
            help="Of the clean score a share, 0.2 being 20%; of a divergence nats.",
        )
        st.selectbox(
            "Ablated by",
            SEARCH_METHOD.values,
            key="search_method",
            width=190,
            help="Averages are over the pairs' corrupted prompts, taken once.",
        )
        st.text_input("Controls", key="n_controls", width=85, help="How many random circuits.")
        st.text_input("Their seed", key="control_seed", width=90)
        choice("Judged on", "judged", JUDGED)
    runs = whole("runs", "Runs")
    question = engine.Search(
        e.model,
        chosen.task if runs == 1 else chosen.whole,
        by=ss["strategy"],
        threshold=number("threshold", "At most"),
        metric=ss["search_metric"],
        method=engine.Method.parse(ss["search_method"]),
        direction=ss["direction"],
        mlps=ss["nodes"] == "both",
        per_position=ss["per"] == "position",
        steps=_steps(),
    )
    controls, seed = whole("n_controls", "Controls"), whole("control_seed", "Their seed")
    path = engine.search_path(question)
    if runs != 1:
        right = ss["over"] != "prompt" and ss["which"] == "right"
        fresh_ones = ss["judged"] == "fresh"
        return engine.DiscoverMany(
            question, runs, controls, seed, right, fresh_ones, str(path.parent)
        )
    fresh = None
    if ss["judged"] == "fresh":
        drawn = work.ask("_fresh_pairs", engine.DrawFresh(chosen.task))
        if not drawn.answered:
            work.progress("_fresh_pairs", "Drawing fresh pairs")
            return None
        fresh = drawn.result
        if fresh is None:
            st.caption(_NOT_FRESH)
    return engine.Discover(question, controls, seed, fresh, str(path))


def _steps() -> int:
    """The steps of the gradients, where the search goes by any."""
    by = st.session_state["strategy"]
    return whole("gradient_steps", "Steps") if by in engine.BY_GRADIENTS else engine.Search.steps
