"""The style that a family's runs of terms are written in, and which styles this model does.

How many prompts it gets right is asked beside the page and kept by model: of the family at hand
while the form is there, of all families once the table of them is opened.
"""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import work
from pages._parts.fields import Choice
from pages._parts.table import Rows, downloads, python_for
from pages._parts.text import plain

STYLE = Choice("style", tuple(engine.STYLES))
_CELLS = "_style_cells"
_HIGH = 420
HELP = "What stands between the terms: spaces, commas, line breaks or the word “then”."


def style_of(family: str, chosen: str) -> str:
    """The style chosen, or the default for a family that does not come in any."""
    return chosen if engine.styles_of(family) else STYLE.default


def box(model: str, family: str) -> None:
    """Draw the styles of a family to choose from, each with how many of its prompts the model gets
    right, once that is known."""
    ss = st.session_state
    if not engine.styles_of(family):
        return
    done = _of_family(model, family)

    def label(style: str) -> str:
        told = done.told(family, style) if done is not None else ""
        return f"{style}: {told}" if told else style

    # the browser tells a choice by its label, and these change: so another box where they do
    key = f"_style {' '.join(map(label, STYLE.values))}"
    ss[key] = ss[STYLE.name]

    def choose() -> None:
        ss[STYLE.name] = ss[key]

    st.selectbox(
        "Style", STYLE.values, key=key, format_func=label, on_change=choose, width=165, help=HELP
    )


def table(model: str) -> None:
    """Draw what opens on all families in all styles; a click on one of them sets it."""
    place = st.popover("What this model does", key="_styles_open", on_change="rerun")
    if place.open:
        with place:
            _opened(engine.ScoreStyles(model))


def _of_family(model: str, family: str) -> engine.StyleScores | None:
    """What is known by now of a family, of which the model is asked where it was not yet."""
    whole = work.find(_key(model))
    known: engine.StyleScores | None = None if whole is None else whole.result
    if known is not None and all(known.told(family, style) for style in STYLE.values):
        return known
    one = work.ask(f"{_key(model)} {family}", engine.ScoreStyles(model, (family,)), wait=False)
    result: engine.StyleScores | None = one.result
    return result


def _key(model: str) -> str:
    return f"_styles {model}"


def _opened(question: engine.ScoreStyles) -> None:
    key = _key(question.model)
    result: engine.StyleScores | None = work.ask(key, question, wait=False).result
    work.progress(key, "families in their styles", anew=work.go_on)
    if result is None:
        return

    def choose() -> None:
        ss = st.session_state
        for row, column in ss[_CELLS]["selection"]["cells"]:
            ss["task"], style = meant(result, row, column)
            ss[STYLE.name] = style or ss[STYLE.name]

    st.dataframe(
        _shown(result),
        key=_CELLS,
        on_select=choose,
        selection_mode="single-cell",
        hide_index=True,
        height=_HIGH,
    )
    st.caption(
        f"How many of {result.n} prompts, drawn with seed {result.seed}, it gets right: the answer "
        "ranks first of the whole vocabulary. In brackets, how many of them differ, where not all "
        "do. ★ is the best style of a family; of equal ones, that with the greatest mean logit "
        "difference. A click on a cell takes its family and style."
    )
    for (family, style), why in result.reasons.items():
        st.caption(plain(f"{family}, {style}: {why}"))
    downloads(result.table(), "styles", python_for(question.to_python().removeprefix("engine.")))


def meant(result: engine.StyleScores, row: int, column: str) -> tuple[str, str | None]:
    """The family and style of a cell: where the column is no style of the family, its best one;
    None where it has none."""
    family = result.families[row]
    return family, column if column in engine.styles_of(family) else result.best(family)


def _shown(result: engine.StyleScores) -> Rows:
    """A row a family, a column a style."""
    shown = {f: {"family": f, **dict.fromkeys(result.styles, "")} for f in result.families}
    for row in result.table():
        family, style, prompts = str(row["family"]), str(row["style"]), row["prompts"]
        says = ("★ " if row["best"] else "") + result.told(family, style)
        if prompts is not None and prompts != result.n:
            says += f" ({prompts})"
        shown[family][style] = says
    return [dict(row) for row in shown.values()]
