"""A table with its downloads: the CSV of its rows as they are, and the Python that gives them."""

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import streamlit as st

from pages._parts.figure import python_of

Rows = list[dict[str, object]]
T = TypeVar("T")
_NOTHING = "–"
_HEAD, _ROW = 38, 35
"""Pixels of a table's head and of each row."""


def show_rows(rows: Rows | dict[str, list[object]], tall: int = 420) -> None:
    """Draw rows, or columns, that scroll where they are more than are `tall` pixels; a dash where
    there is nothing."""
    n = len(next(iter(rows.values()), ())) if isinstance(rows, dict) else len(rows)
    height: Any = "content" if _HEAD + n * _ROW <= tall else tall
    st.dataframe(rows, hide_index=True, placeholder=_NOTHING, height=height)


def table(rows: Rows, name: str, python: str, *, shown: Rows) -> None:
    """Draw rows as they are `shown` to people, with their downloads."""
    show_rows(shown, 500)
    downloads(rows, name, python)


def table_of_sites(
    rows: Rows | dict[str, Any],
    key: str,
    on_ticked: Callable[[], None] | None = None,
    **look: Any,
) -> None:
    """Draw rows, or columns, in which each row is of a site, to be ticked: `ticked` tells which
    are, and the grid above or beside outlines them. `on_ticked` is called when that changes."""
    st.dataframe(
        rows,
        key=key,
        on_select=on_ticked or "rerun",
        selection_mode="multi-row",
        hide_index=True,
        placeholder=_NOTHING,
        **look,
    )


def ticked(key: str, of: Sequence[T]) -> list[T]:
    """What the rows that are ticked in the table of that key are `of`, one a row; also before it is
    drawn."""
    kept = st.session_state.get(key)
    rows = kept["selection"]["rows"] if kept else ()
    return list(dict.fromkeys(of[row] for row in rows if row < len(of)))


def rounded(value: object) -> float | None:
    """A number as a table shows it; None where a row has none."""
    return round(value, 4) if isinstance(value, float) else None


def downloads(rows: Rows, name: str, python: str, key: str = "") -> None:
    """The CSV of rows, by the `name` of its file, and the Python that gives them. `key` is the
    view's own on its page, where the name tells what is seen in it."""
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
        python_of(python, key or name)


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
    return f"import switchboard as engine\n\nfor row in engine.{call}.table():\n    print(row)"
