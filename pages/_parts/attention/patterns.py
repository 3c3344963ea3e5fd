"""Chosen heads large, drawn by CircuitsVis."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

import engine
from pages._parts import components, state
from pages._parts.attention.grid import title
from pages._parts.figure import python_of
from pages._parts.refusals import Answered
from pages._parts.text import token_text

MOST_TOKENS = 400
MOST_HEADS = 24
MOST_CELLS = 60_000
"""Numbers CircuitsVis is given at once, which draws each as a rectangle of its own: about 1 s."""


def attention_patterns(
    answer: Answered[engine.AttentionOverview], chosen: Sequence[engine.Head]
) -> None:
    """Draw the heads chosen large, in the run that the page's widgets say."""
    e, n = answer.e, len(answer.result.tokens)
    most = max(1, min(MOST_HEADS, MOST_CELLS // n**2)) if n <= MOST_TOKENS else 0
    heads = list(chosen)[:most]
    if not chosen:
        st.caption("Click heads to look closer.")
        return
    if len(heads) < len(chosen):
        st.caption(
            f"{len(heads)} of the {len(chosen)} heads chosen are drawn: CircuitsVis is slow, so "
            f"with {n:,} tokens it is given {most} at once. The code below gives any."
        )
    run, weighted = answer.run, st.session_state["weight"] == "value"
    if heads:
        _draw(e, engine.attention(e, heads, view=state.view()), run, weighted)
    python_of(patterns_python(e, heads or chosen, run, weighted), "patterns")


def _draw(e: engine.Experiment, result: engine.Attention, run: str, weighted: bool) -> None:
    values = _values(result, run, weighted)
    most = float(np.abs(values).max()) if weighted or run == "difference" else 1.0
    components.circuitsvis(
        {
            "tokens": list(map(token_text, result.tokens.texts, result.tokens.pieces)),
            "heads": [[head.layer, head.head] for head in result.heads],
            "values": values.astype(float).round(4).tolist(),
            "most": most or 1.0,
            "signed": run == "difference",
            "column": f"{run}_{'value_weighted' if weighted else 'pattern'}",
            "title": title(e, run, "value" if weighted else "pattern"),
            "name": f"attention-{run}-heads",
        },
        key="circuitsvis",
    )


def _values(result: engine.Attention, run: str, weighted: bool) -> np.ndarray:
    """[head query_pos key_pos] of one run, or ablated − clean."""
    clean, ablated = (r.value_weighted if weighted else r.pattern for r in
                      (result.clean, result.ablated))  # fmt: skip
    return {"clean": clean, "ablated": ablated, "difference": ablated - clean}[run]


def patterns_python(
    e: engine.Experiment, heads: Sequence[engine.Head], run: str, weighted: bool
) -> str:
    """Code whose `shown` is what is drawn, [head query_pos key_pos]."""
    field = "value_weighted" if weighted else "pattern"
    shown = (
        f"result.ablated.{field} - result.clean.{field}"
        if run == "difference"
        else f"result.{run}.{field}"
    )
    named = ", ".join(f"engine.Head({head.layer}, {head.head})" for head in heads)
    return (
        f"import switchboard as engine\n\ne = {e.to_python()}\n"
        f"result = engine.attention(e, [{named}])\n"
        f"shown = {shown}  # [head query_pos key_pos]\n"
    )
