"""A table with its downloads: the CSV of its rows as they are, and the Python that gives them."""

import csv
import io

import streamlit as st

from pages._parts.figure import python_of
from pages._parts.text import visible

Rows = list[dict[str, object]]


def table(rows: Rows, name: str, python: str, shown: Rows | None = None) -> None:
    """Draw rows (or `shown` in their place) with white space to be seen, and their downloads."""
    st.dataframe(
        [{k: visible(v) if isinstance(v, str) else v for k, v in row.items()}
         for row in (rows if shown is None else shown)],
        hide_index=True,
        height=min(36 * len(rows) + 38, 480),
    )  # fmt: skip
    downloads(rows, name, python)


def downloads(rows: Rows, name: str, python: str) -> None:
    """The CSV of rows, and the Python that gives them."""
    left, right = st.columns([1, 5], vertical_alignment="top")
    left.download_button(
        "CSV",
        as_csv(rows).encode("utf-8", "backslashreplace"),
        f"{name}.csv",
        "text/csv",
        on_click="ignore",
        icon=":material/download:",
    )
    with right:
        python_of(python)


def as_csv(rows: Rows) -> str:
    """Rows of the same columns as CSV; empty without rows."""
    written = io.StringIO()
    if rows:
        writer = csv.DictWriter(written, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return written.getvalue()


def python_for(call: str) -> str:
    """The code that prints the rows of a result of the engine."""
    return f"import engine\n\nfor row in engine.{call}.table():\n    print(row)"
