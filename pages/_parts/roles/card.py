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
from pages._parts.pairs_form import pairs_form
from pages._parts.roles import attends, patterns, reads, writes
from pages._parts.roles.views import beside_grid, link_to, progress
from pages._parts.switches import without
from pages._parts.table import Rows, as_csv, rounded
from pages._parts.text import percent, plain, signed

_OPENS, _EFFECT = "_roles_opens", "_roles_effect"
_MOST_TOKENS, _PARTNERS = 64, 3
_PLACES = {0: "the word itself", 1: "the next", -1: "the one before"}


def opened() -> None:
    """Turn to the page that a card's button opens, if one was clicked."""
    page = st.session_state.pop(_OPENS, "")
    if page:
        st.switch_page(page)


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
        _from_the_weights(reading.experiment.model, head)
    with right:
        _composition(reading.experiment.model, head)
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
    ss[_OPENS] = f"pages/{page}.py"
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
    st.metric(
        "Logit difference, switched off",
        signed(score.clean.mean_logit_diff + float(change.mean())),
        f"{change.mean():+.2f}",
        help=f"Alone, by {e.method}, positions {e.positions}, beside clean "
        f"{signed(score.clean.mean_logit_diff)}. Below 0: it helps the answer.",
        width="content",
    )
    st.caption(plain(f"Change {change.mean():+.3f}{spread} logits {over}.".replace("-", "−")))


def _from_the_weights(model: str, head: engine.Head) -> None:
    """What it writes of words, and where it looks, with chance and place among all heads."""
    st.markdown("**From the weights**")
    with errors_shown():
        question = writes.asked(model)
        written_ = work.ask(writes.KEY, question).result
        progress(writes.KEY)
        if written_ is not None:
            rows = _places(written_, head, (0, 1, -1, writes.places_on()))
            _drawn(rows, "raises, of each word")
            if rows:
                copying = written_.copying[head.layer, head.head]
                told = signed(copying) if copying == copying else "not known yet"
                st.caption(plain(f"Copying, by eigenvalues, −1 to 1: {told}. {_of(written_)}"))
    with errors_shown():
        looks = work.ask(attends.KEY, attends.asked(model)).result
        progress(attends.KEY)
        if looks is not None:
            _drawn(_places(looks, head, (0, 1, -1, attends.looks_on())), "looks most at")
            through = f" as {looks.keys_through} writes it" if looks.keys_through else ""
            apart = f", {looks.distance:,} tokens back" if looks.by_distance else ""
            st.caption(plain(f"From each word at the others{through}{apart}, by its own score."))


def _places(
    result: engine.OVScores | engine.QKScores, head: engine.Head, each: tuple[int, ...]
) -> Rows:
    """A row for each place on: its score, place among heads, n, chance."""
    rows: Rows = []
    for by in dict.fromkeys(each):
        try:
            score = result.score(by)
        except engine.EngineError:  # no word has another so many places on
            continue
        own = score[head.layer, head.head]
        if own == own:
            rows.append(
                {
                    "which": _PLACES.get(by, f"{by:+} places on"),
                    "score": f"{own:.0%}",
                    "place": f"{1 + int((score > own).sum())} of {int(np.isfinite(score).sum())}",
                    "n": result.n(by),
                    "chance": percent(result.chance),
                    "above it from": f"{result.above_chance(by):.0%}",
                }
            )
    return rows


def _drawn(rows: Rows, what: str) -> None:
    if rows:
        st.dataframe([{what: row["which"], **_but(row, "which")} for row in rows], hide_index=True)


def _but(row: dict[str, object], name: str) -> dict[str, object]:
    return {key: value for key, value in row.items() if key != name}


def _of(result: engine.OVScores) -> str:
    same = result.outputs.words == result.inputs.words
    first, last = result.inputs.words[0], result.inputs.words[-1]
    among = "" if same else f", among {result.outputs.words[0]} … {result.outputs.words[-1]}"
    return (
        f"Of {first} … {last}{among}, raised among the first {result.k}. {' '.join(result.notes)}"
    )


def _composition(model: str, head: engine.Head) -> None:
    """Whom it reads, and who reads it, the strongest of each part."""
    st.markdown("**Reads and is read**")
    rows: Rows = []
    for into in engine.INTO:
        question, key = reads.asked(model, into)
        with errors_shown():
            result = work.ask(key, question).result
            progress(key)
            if result is not None:
                rows += [
                    {
                        "from": row["sender"],
                        "into": f"{row['reader']}.{into}",
                        "score": rounded(row["score"]),
                        "chance": rounded(row["chance"]),
                        "spreads above": round(float(str(row["spreads"])), 1),
                    }
                    for row in result.table(_PARTNERS, head)
                ]
    if rows:
        st.dataframe(rows, hide_index=True)
        st.caption(
            "Composition, 0 to 1, the strongest of each: 1 reads nothing but what is written."
        )


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
