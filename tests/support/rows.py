"""Rows beside a CSV of them."""

from __future__ import annotations

import csv
import io

import pytest

from pages._parts.table import Rows, as_csv


def assert_same(rows: Rows, expected: str) -> None:
    """Rows are those of a CSV: words to the letter, numbers as near as another split of the same
    rows into passes leaves them."""
    mine, theirs = (list(csv.reader(io.StringIO(text))) for text in (as_csv(rows), expected))
    assert rows and [len(line) for line in mine] == [len(line) for line in theirs]
    for one, other in zip(mine, theirs, strict=True):
        for a, b in zip(one, other, strict=True):
            assert a == b or float(a) == pytest.approx(float(b), rel=1e-4, abs=1e-5)
