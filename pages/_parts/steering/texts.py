"""Clean and steered texts side by side, and how much the steered ones repeat themselves."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

import engine
from pages._parts import state, work
from pages._parts.boxes import number, whole
from pages._parts.experiment_form import model_shape
from pages._parts.figure import figure
from pages._parts.generate.text import text
from pages._parts.layout import errors_shown
from pages._parts.steering.using import chosen, layer_of
from pages._parts.table import Rows, as_csv, python_for, show_rows
from pages._parts.text import plain, visible

KEY = "_steered_texts"


def side_by_side(reading: state.Reading) -> None:
    """The prompt's text, clean and with all that is changed, as the Generate page has it."""
    if reading.experiment.prompt:
        text(reading, model_shape())


def repeated(reading: state.Reading) -> None:
    """Texts after neutral beginnings, clean, steered and with random directions, and how much each
    repeats itself."""
    e = reading.experiment
    direction = chosen(e)
    if direction is None or not reading.whole:
        return
    st.subheader("What it does to texts that have nothing to do with it", anchor=False)
    question, result = None, None
    with errors_shown():
        own = replace(e.clean, positions=e.positions, prompt="", corrupted="", answer="",
                      distractor="", references=())  # fmt: skip
        if own.positions.which == "indices":
            own = replace(own, positions=engine.Positions())
        question = engine.SteerTexts(
            own,
            direction.name,
            layer_of(e, direction),
            number("steer_by", "Coefficient"),
            controls=whole("steer_draws", "Random directions"),
            seed=whole("steer_seed", "Their seed"),
        )
        result = work.ask(KEY, question).result
    work.progress(KEY, "text by text")
    if question is None or result is None:
        return
    means, by = result.mean_repetition, f"{question.coefficient:g}".replace("-", "−")
    rows: Rows = [
        {
            "prompt": row["prompt"],
            "run": row["run"],
            "text": visible(str(row["text"])).replace("␣", " "),
            "repeated": round(float(str(row["repetition"])), 2),
        }
        for row in result.table()
        if row["run"] in (*result.runs[:2], "random 1")
    ]
    show_rows(rows)
    figure(
        result.figure(),
        "repetition",
        csv=as_csv(result.table()),
        key="repetition_figure",
        python=python_for(question.to_python().removeprefix("engine.")),
    )
    st.caption(
        plain(
            f"Greedy, {by} × {question.name} added at r{question.layer} at "
            "every token. Repeated is the share of 3-grams of tokens that have come before in the "
            f"same text: clean {means[0]:.2f}, steered {means[1]:.2f}, random directions "
            f"{means[2:].mean():.2f} on average."
        )
    )
