"""A card for every head: what is known of it, from the weights and on this prompt, with a link."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import written
from pages._parts.experiment_form import model_shape
from pages._parts.figure import figure
from pages._parts.layout import errors_shown
from pages._parts.metric import metric
from pages._parts.pairs_form import pairs_form
from pages._parts.roles import patterns, writes
from pages._parts.roles.card_weights import from_the_weights, partners
from pages._parts.roles.views import beside_grid, link_to
from pages._parts.switches import without
from pages._parts.table import Rows, as_csv, rounded
from pages._parts.text import plain, signed
from pages._parts.turning import turn_to

_EFFECT = "_roles_effect"
_MOST_TOKENS = 64


def card(reading: state.Reading) -> None:
    """The whole view."""
    shape, head, seen = model_shape(), None, None
    with errors_shown():
        head = _head(shape)
        if not reading.errors:
            seen = patterns.looked_at(reading)
    tint = None
    with errors_shown():
        result = work.ask(writes.KEY, writes.asked(reading.experiment.model)).result
        tint = None if result is None else result.grid(writes.places_on())
    with beside_grid(reading, tint, [], "card"):
        st.text_input("Head", key="role_head", placeholder=str(shape.heads[0]), width=220)
        if head is None:
            return
        _buttons(reading.experiment, head, shape)
        with errors_shown():
            _on_the_prompt(reading, seen, head)
        with errors_shown():
            _switched_off(reading, head)
    left, right = st.columns(2, gap="medium")
    with left:
        from_the_weights(reading.experiment.model, head)
    with right:
        partners(reading.experiment.model, head)
        if seen is not None:
            with errors_shown():
                _pattern(seen, head)


def _head(shape: engine.Shape) -> engine.Head:
    """The head in the box; without one the first. Raises: EngineError for what is none."""
    named = written("role_head")
    sites = engine.parse_sites(named) if named else (shape.heads[0],)
    site = sites[0] if len(sites) == 1 else None
    if not isinstance(site, engine.Head) or site not in shape.heads:
        raise engine.EngineError(
            f"“{named[:40]}” is no head of this model: it has {shape.n_layers} layers of "
            f"{shape.n_heads}, and one is named, as 2.1."
        )
    return site


def _buttons(e: engine.Experiment, head: engine.Head, shape: engine.Shape) -> None:
    """Switch it, open it elsewhere, and the link to this card."""
    off = _is_off(e, head, shape)
    with st.container(horizontal=True):
        st.button(
            "Switch it on" if off else "Switch it off",
            on_click=_switch,
            args=(e, head, shape, off),
            icon=":material/toggle_off:" if off else ":material/toggle_on:",
        )
        for label, page in (("Its attention", "attention"), ("Its tokens", "attribution")):
            st.button(label, on_click=_open, args=(page, head), icon=":material/open_in_new:")
        with st.popover("Link to it", icon=":material/link:"):
            here = {"roles_show": "card", "role_head": str(head)}
            st.code(link_to(e, here), language=None, wrap_lines=True)


def _is_off(e: engine.Experiment, head: engine.Head, shape: engine.Shape) -> bool:
    try:
        named = head in engine.resolve_sites(e.ablations.sites, shape)
    except engine.EngineError:  # a site there is not, which is told above
        return False
    return named != (e.ablations.verb == "keep")


def _switch(e: engine.Experiment, head: engine.Head, shape: engine.Shape, off: bool) -> None:
    now = e.ablations
    if not off:
        state.set_ablations(without([head], now, shape))
        return
    sites = set(engine.resolve_sites(now.sites, shape))
    sites = {*sites, head} if now.verb == "keep" else sites - {head}
    state.set_ablations(replace(now, sites=engine.fold_sites(sites, shape)))


def _open(page: str, head: engine.Head) -> None:
    ss = st.session_state
    turn_to(page)
    ss["heads"] = ss["source_head"] = str(head)
    if page == "attribution":
        ss["attributed"] = "sources"


def _on_the_prompt(reading: state.Reading, seen: patterns.Seen | None, head: engine.Head) -> None:
    """Its attention's scores, and what it writes towards the answer."""
    st.markdown("**On this prompt**")
    if seen is not None:
        rows: Rows = []
        for name in engine.SCORES:
            clean, ablated = (
                float(getattr(one, name)[head.layer, head.head])
                for one in (seen.result.clean_scores, seen.result.ablated_scores)
            )
            rows.append({"attention": name.replace("_", " "), "clean": rounded(clean),
                         "ablated": rounded(ablated)})  # fmt: skip
        told = ", ".join(
            f"{row['attention']} {row['clean']}"
            + (" nats" if row["attention"] == "entropy" else "")
            + (f" → {row['ablated']}" if row["ablated"] != row["clean"] else "")
            for row in rows
            if row["clean"] == row["clean"]
        )
        st.caption(plain(f"Attention, 0 to 1: {told}." if told else "No token to ask here."))
    try:
        e = reading.experiment.clean if reading.errors or seen is None else seen.e
        direct = engine.direct_attribution(e, view=state.view())
    except engine.Undecided as wrong:
        st.info(plain(wrong))
        return
    grid = direct.clean.sites
    values = grid.heads[np.isfinite(grid.heads)]
    place = 1 + int((np.abs(values) > abs(grid[head])).sum())
    st.caption(
        plain(
            f"It writes {signed(grid[head])} logits towards the answer itself, clean (above 0 "
            f"towards it; {place} of {len(values)} heads by size)"
            + (f", {signed(direct.ablated.sites[head])} ablated." if e.every_change else ".")
        )
    )


def _switched_off(reading: state.Reading, head: engine.Head) -> None:
    """What becomes of the logit difference without it, on the prompt above or over a task."""
    e = reading.experiment
    chosen = pairs_form(e)
    if chosen is None or reading.errors:
        return
    alone = replace(e.clean, ablations=str(head))
    one = work.ask(_EFFECT, engine.ScoreTask(e.model, chosen.task, alone))
    if not one.answered:
        work.progress(_EFFECT, "Switched off")
        return
    score: engine.TaskScore = one.result
    if score.ablated is None or score.clean.mean_logit_diff is None:
        st.caption("Without an answer and a distractor there is no logit difference to change.")
        return
    change = score.ablated.logit_diff - score.clean.logit_diff
    change = change[np.isfinite(change)]
    spread = f" ± {change.std():.3f}" if len(change) > 1 else ""
    over = f"over {len(change)} pairs" if len(change) > 1 else "on this prompt"
    metric(
        "Logit difference, switched off",
        signed(score.clean.mean_logit_diff + float(change.mean())),
        float(change.mean()),
        help=f"At positions {e.positions}; clean {signed(score.clean.mean_logit_diff)}. Below 0: "
        "it helps the answer.",
    )
    told = f"Change {signed(float(change.mean()), 3)}{spread} logits {over}"
    others = ", other changes left out" if e.every_change else ""
    st.caption(plain(f"{told}: it alone, by {e.method}, beside the clean model{others}."))


def _pattern(seen: patterns.Seen, head: engine.Head) -> None:
    """Its attention on this prompt."""
    n = len(seen.result.tokens)
    if n > _MOST_TOKENS:
        st.caption(f"Its pattern over {n:,} tokens is drawn on the Attention page.")
        return
    if head not in seen.result.heads:
        st.caption("Its attention cannot be seen in this model.")
        return
    attention = engine.attention(seen.e, [head], view=state.view())
    run = "ablated" if seen.run == "ablated" else "clean"
    pattern = getattr(attention, run).pattern[0]
    rows: Rows = [
        {"query": i, "key": j, "attention": float(pattern[i, j])}
        for i in range(n) for j in range(i + 1)
    ]  # fmt: skip
    figure(
        attention.figure(head, run),
        f"attention-{head}",
        csv=as_csv(rows),
        python=f"import switchboard as engine\n\ne = {seen.e.to_python()}\n"
        f"result = engine.attention(e, {str(head)!r})\nprint(result.{run}.pattern[0])\n",
        key="card_pattern",
    )
