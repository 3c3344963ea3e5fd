"""Texts in the columns of a CSV: one reader for whatever is uploaded or pasted.

The first line names the columns: in capitals or not, with spaces or quotation marks around them or
not, parted by commas, semicolons or tabs. Values are taken as they stand, for a space in front
belongs to them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from ..errors import EngineError

_PARTED_BY = (",", ";", "\t")


def read_csv(
    text: str, columns: Sequence[str], *, extra: bool = False, unnamed: bool = False
) -> Iterator[tuple[int, dict[str, str]]]:
    """Read the rows of a CSV: the number of each one's first line, and its values by column.

    `columns`: those that are known, of which the first must be there. `extra`: whether there may be
    others, which are left out. `unnamed`: whether the first line may be a row already, its values
    those of the columns in turn.
    Raises: EngineError naming the line that cannot be read.
    """
    text = text.removeprefix("\ufeff")
    if not text.strip():
        return
    parted_by = next((c for c in _PARTED_BY if columns[0] in _names(text, c)), None)
    names = [] if parted_by is None and unnamed else _names(text, parted_by or ",")
    if not names and any(name in columns for name in _names(text, ",")):
        names = _names(text, ",")  # columns are named, but not the one that must be there
    if names:
        _check(names, columns, extra)
    tabs = unnamed and not names and "\t" in text.lstrip().partition("\n")[0]
    rows = csv.reader(
        io.StringIO(text, newline=""), delimiter=parted_by or ("\t" if tabs else ","), strict=True
    )
    line, heads = 1, bool(names)
    try:
        for cells in rows:
            if heads and cells:
                heads = False
            elif cells:
                if names and len(cells) > len(names):
                    raise EngineError(
                        f"Line {line}: there are {len(cells)} values for {len(names)} columns; "
                        "put quotation marks around texts with commas."
                    )
                values = dict(zip(names or columns, cells, strict=False))
                yield line, {name: values[name] for name in columns if name in values}
            line = rows.line_num + 1
    except csv.Error as wrong:
        raise EngineError(f"Line {line}: this is not CSV ({wrong}).") from wrong


def _names(text: str, parted_by: str) -> list[str]:
    """What the first line that is not empty calls the columns, if that is what it does."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return [cell.strip(' \t"').lower() for cell in first.split(parted_by)]


def _check(names: Sequence[str], columns: Sequence[str], extra: bool) -> None:
    """Refuse column names that are unknown or twice there, or lack the first."""
    first, *others = columns
    if not others and first not in names:
        raise EngineError(f"Line 1 names no column “{first}”.")
    unknown = not extra and any(name not in columns for name in names)
    known = [name for name in names if name in columns]
    if unknown or first not in names or len(set(known)) < len(known):
        may = f" and may have {', '.join(others)}," if others else ""
        raise EngineError(
            f"Line 1 names the columns “{', '.join(names)[:100]}”; it needs {first},{may} each "
            "once."
        )
