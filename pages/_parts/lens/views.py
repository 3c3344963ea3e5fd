"""The logit lens' widgets and views: the grid, the tokens followed, the last position as text."""

from typing import Any

import streamlit as st

import engine
from pages._parts import components
from pages._parts.boxes import choice
from pages._parts.figure import figure, python_of
from pages._parts.lens.fields import BY, TOP
from pages._parts.rankings import title
from pages._parts.refusals import Answered
from pages._parts.table import as_csv
from pages._parts.text import plain, visible

RUNS = {"clean": "Clean", "ablated": "Ablated", "difference": "Difference"}
MEASURES = {
    "prob": "probability of the best token",
    "entropy": "entropy of the distribution",
    "rank": "rank of the answer; 1 is best",
    "divergence": "KL divergence of this layer from the output",
}
SPANS = {"last": "last 32", "all": "all"}
MOST_CELLS = 6_000
"""Cells drawn at once, each a cell of a table in the browser."""
_LAST = 32


def options(shape: engine.Shape) -> dict[str, Any]:
    """Draw the widgets. Returns: what `engine.logit_lens` is asked for."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        choice("Run", "run", RUNS)
        choice("Read", "stream", {name: name for name in engine.STREAMS})
        st.selectbox(
            "Colour",
            BY.values,
            key="by",
            format_func=lambda name: engine.MEASURES[name],
            width=150,
            help="\n\n".join(f"**{engine.MEASURES[n]}**: {t}." for n, t in MEASURES.items()),
        )
        choice("Positions", "span", SPANS)
        choice("Top", "top", {k: k for k in TOP.values})
    ss = st.session_state
    return {
        "k": min(int(ss["top"]), shape.d_vocab),
        "stream": ss["stream"],
        "at": ss["at"],
        "last": _LAST if ss["span"] == "last" else max(1, MOST_CELLS // shape.n_layers),
    }


def grid(answer: Answered[engine.Lens], question: dict[str, Any]) -> None:
    """Layers down, positions across, in the run and colours that the widgets say."""
    e, seen, run, measure = answer.e, answer.result, answer.run, st.session_state["by"]
    if measure == "rank" and seen.clean.answer is None:
        st.info("There is no answer whose rank could be shown; type one above.")
        measure = "prob"
    drawn = seen.grid(run, measure)
    components.lens_grid(
        {
            "layers": list(drawn.layers),
            "reading": list(drawn.reading.items()),
            "before": seen.first,
            "texts": drawn.texts.tolist(),
            "leads": drawn.leads.tolist(),
            "shares": drawn.shares.round(4).tolist(),
            "signs": drawn.signs.tolist(),
            "told": drawn.told.tolist(),
            "signed": drawn.signed,
            "ends": drawn.ends,
            "colours": drawn.name,
            "hint": "Hover a cell for its best tokens; underlined where it is the answer.",
            "title": f"{title(e)}: {RUNS[run].lower()}",
            "name": f"lens-{run}-{measure}",
            "csv": as_csv(seen.table(run, measure)),
        },
        key="lens_grid",
    )
    call = f'lens.values("{run}", "{measure}")  # [layer pos]'
    python_of(lens_python(e, question, call), "lens_grid")
    notes = ["▲▼ places risen or fallen against the layer above."]
    if run == "difference":
        notes.append("A token is written where the ablated run's best is another than the clean's.")
    if seen.first:
        notes.append(f"The last {len(seen.read) - seen.first} of {len(seen.read)} positions.")
    if len(seen.read) > len(seen.tokens):
        after = " ".join(seen.shown[len(seen.tokens) :])
        notes.append(f"Answer and distractor part after {after}, which the last columns read.")
    st.caption(plain(" ".join((*notes, *seen.notes))))


def traces(answer: Answered[engine.Lens], question: dict[str, Any]) -> None:
    """The answer and the distractor followed through the layers at the last position."""
    e, seen = answer.e, answer.result
    if seen.clean.answer is None and seen.clean.distractor is None:
        st.caption("With an answer or a distractor, their way through the layers is drawn here.")
        return
    choice("Answer and distractor at the last position", "follow", engine.TRACES)
    quantity = st.session_state["follow"]
    runs = ("clean", "ablated") if e.every_change else ("clean",)
    names = [n for n in ("answer", "distractor") if getattr(seen.clean, n) is not None]
    columns = {
        f"{run}_{name}": getattr(getattr(getattr(seen, run), name), quantity)[:, -1]
        for run in runs
        for name in names
    }
    rows: list[dict[str, object]] = [
        {"layer": layer, **{name: values[i].item() for name, values in columns.items()}}
        for i, layer in enumerate(seen.layers)
    ]
    shown = ", ".join(
        f'"{run}_{name}": lens.{run}.{name}.{quantity}[:, -1]' for run in runs for name in names
    )
    figure(
        seen.traces_figure(quantity, runs),
        f"lens-{quantity}",
        csv=as_csv(rows),
        python=lens_python(e, question, f"{{{shown}}}  # [layer] each"),
        key="lens_traces",
    )
    if seen.clean.answer is not None:
        sentence = "; ".join(f"{run}, {_leads(getattr(seen, run).leads_from)}" for run in runs)
        st.caption(plain(f"The answer {visible(e.answer)} first leads: {sentence}."))


def _leads(layer: int | None) -> str:
    return "after no layer" if layer is None else f"after layer {layer}"


def last_position(answer: Answered[engine.Lens]) -> None:
    """The plain table of the last position's best tokens, to copy."""
    seen, run = answer.result, answer.run
    names = ("clean", "ablated") if run == "difference" else (run,)
    box = st.expander("The last position as text", key="_last_position", on_change="rerun")
    if not box.open:
        return
    with box:
        for name in names:
            if len(names) > 1:
                st.caption(RUNS[name])
            st.code(seen.text(name), language=None)


def lens_python(e: engine.Experiment, question: dict[str, Any], shown: str) -> str:
    """Code whose `shown` is what is drawn."""
    written = ", ".join(f"{name}={value!r}" for name, value in question.items())
    return (
        f"import switchboard as engine\n\ne = {e.to_python()}\n"
        f"lens = engine.logit_lens(e, {written})\nshown = {shown}\n"
    )
