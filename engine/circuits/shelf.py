"""The published circuits that ship with the dashboard, to compare one's own with."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from .circuit import Circuit

SHELF = Path(__file__).resolve().parents[2] / "assets" / "circuits"


@cache
def shelf() -> tuple[Circuit, ...]:
    """The circuits of `assets/circuits`, each with its source, by model and task."""
    result = [Circuit.from_json(path.read_text("utf-8")) for path in sorted(SHELF.glob("*.json"))]
    return tuple(sorted(result, key=lambda c: (c.model, c.task, c.name)))
