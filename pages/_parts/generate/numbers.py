"""The numbers of a generation's steps, as lines and as files."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts.boxes import choice
from pages._parts.figure import figure
from pages._parts.generate.record import Record
from pages._parts.table import Rows, as_csv, downloads

RUNS = ("clean", "ablated", "unswitched")


def numbers(record: Record, total: int) -> None:
    """The steps' numbers as lines, with the CSV and the Python of everything."""
    steps = record.steps[:total]
    if not steps or record.prompt is None:
        return
    result = engine.Generated(tuple(steps), record.prompt, record.ended, record.notes)
    code = record.question.python(len(steps) - len(record.question.prefix))
    choice("Step by step", "number_of", engine.STEP_NUMBERS)
    number = st.session_state["number_of"]
    shown = RUNS if record.question.earlier else RUNS[:2]
    rows: Rows = [
        {
            "step": step.index,
            **{
                f"{name}_{number}": "" if run is None else float(getattr(run, number))
                for name, run in ((name, getattr(step, name)) for name in shown)
            },
        }
        if number != "kl"
        else {"step": step.index, "kl": "" if step.kl is None else float(step.kl)}
        for step in steps
    ]
    figure(
        result.figure(number),
        f"generation-{number}",
        csv=as_csv(rows),
        key="generation_numbers",
    )
    st.caption("Every step with its best tokens:")
    downloads(result.table(), "generation", code)
