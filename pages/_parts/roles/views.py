"""What the views of heads' roles have in common: the grid, the head that is looked at, its link."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from urllib.parse import urlencode

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

import engine
from pages._parts import state, work
from pages._parts.boxes import written
from pages._parts.experiment_form import model_shape
from pages._parts.layout import beside_switches
from pages._parts.switches import not_known, switches
from pages._parts.table import Rows, table_of_sites, ticked
from pages._parts.text import percent, plain
from pages._parts.turning import turn_to

_TABLE, _LOOKED = "role_heads", "_role_looked"


def beside_grid(
    reading: state.Reading, tint: engine.SiteGrid | None, rows: Rows, key: str
) -> DeltaGenerator:
    """The switches, tinted; outlined are the heads whose rows are ticked in the table of that key.
    Returns: the place beside."""
    shape = model_shape()
    left, right = beside_switches(shape.n_heads)
    with left:
        switches(
            reading.experiment.ablations,
            shape,
            tint or not_known(shape),
            [site for each in ticked(f"{_TABLE}_{key}", _sites(rows)) for site in each],
        )
    return right


def heads_table(shown: Rows, key: str) -> None:
    """Rows of heads, to be ticked; the one ticked last is looked at, where a row is of one."""
    name, sites = f"{_TABLE}_{key}", _sites(shown)
    alone = all(len(each) == 1 for each in sites)
    table_of_sites(
        shown,
        name,
        partial(_look, name, sites) if alone else None,
        height=min(330, 38 + 35 * len(shown)),
        column_order=[column for column in shown[0] if alone or column != "site"],
    )


def _sites(rows: Rows) -> list[tuple[engine.Site, ...]]:
    return [engine.parse_sites(str(row["site"])) for row in rows]


def _look(key: str, sites: list[tuple[engine.Site, ...]]) -> None:
    ss = st.session_state
    now, before = ticked(key, sites), ss.get(_LOOKED, ())
    new = [each for each in now if each not in before]
    if new:
        ss["role_head"] = str(new[-1][0])
    ss[_LOOKED] = tuple(now)


def head_box(best: str = "", opens: bool = False, what: str = "the best") -> str:
    """The box of the head that is looked at, and the way to its card, which `opens` the page of
    roles. `what` the best is. Returns: its name, that of the best where the box is empty."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Head",
            key="role_head",
            placeholder=f"{best}: {what}" if best else "all",
            width=220,
            help="As 9.1; or tick its row above.",
        )
        head = written("role_head") or best
        if head:
            st.button(
                "All of this head",
                key="_to_card",
                icon=":material/badge:",
                on_click=_to_card,
                args=(head, opens),
            )
    return head


def _to_card(head: str, opens: bool) -> None:
    st.session_state["role_head"], st.session_state["roles_show"] = head, "card"
    if opens:
        turn_to("roles")


def metrics(rows: Rows, above: float, chance: float) -> None:
    """The best head, what chance would give, and how many heads are above it."""
    n, best = sum(float(str(row["score"])) >= above for row in rows), float(str(rows[0]["score"]))
    st.metric(f"Best head: {rows[0]['site']}", f"{best:.0%}", width="content")
    st.metric(
        "Heads above chance",
        f"{n} of {len(rows)}",
        help=f"By chance a head has {percent(chance)} right, and none of all reaches {above:.0%} "
        "but once in twenty times.",
        width="content",
    )


def link_to(e: engine.Experiment, changed: Mapping[str, str]) -> str:
    """The link to this view with some of its fields changed."""
    pairs = [(name, value) for name, value in state.link(e) if name not in changed]
    base = (st.context.url or "").split("?")[0]
    return f"{base}?{urlencode([*pairs, *changed.items()], errors='surrogatepass')}"


def progress(key: str) -> None:
    """How far work is, with a way to stop it; once it is over, how it ended."""
    work.progress(key, "layer by layer", refused=_refused)


def _refused(wrong: engine.EngineError) -> None:
    (st.info if isinstance(wrong, engine.NoWords) else st.error)(plain(wrong))
