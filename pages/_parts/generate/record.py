"""The steps of a generation so far, and their way to the browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import streamlit as st

import engine
from pages._parts import components
from pages._parts.generate.settings import Asked
from pages._parts.generate.steps import step_data

_PARCEL = 12
streams = count()
"""Numbers by which what is drawn is told apart."""


@dataclass
class Record:
    """The steps of a generation so far. `prompt`: its tokens, known from the first step on.
    `ended`: how it ended, empty while there may be more; `held`: the reader stopped it; `failed`:
    what went wrong, and of how many steps."""

    question: Asked
    steps: list[engine.Step] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    prompt: engine.Tokens | None = None
    ended: str = ""
    held: bool = False
    failed: tuple[int, engine.EngineError] | None = None

    def lacks(self, total: int) -> bool:
        """Whether a text of `total` steps needs more than there are."""
        return len(self.steps) < total and not (self.ended and self.wanted > len(self.steps))

    wanted: int = 0

    def failure(self, total: int) -> engine.EngineError | None:
        """What went wrong where a text of `total` steps was asked for, if anything did."""
        return self.failed[1] if self.failed is not None and self.failed[0] == total else None


class Feed:
    """Steps on their way to the browser. A slow one draws only the last of what a place was given,
    so steps go in parcels, each with a place of its own, told with all it holds."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._places = st.container(gap=None)
        self._place = self._places.empty()
        self._parcel: list[dict[str, Any]] = []

    def add(self, step: engine.Step) -> None:
        """Put a step behind the others."""
        if len(self._parcel) == _PARCEL:
            self.tell()
            self._parcel, self._place = [], self._places.empty()
        self._parcel.append(step_data(step))

    def tell(self) -> None:
        """Send what the parcel holds."""
        data = {"stream": self._stream, "steps": self._parcel}
        with self._place:
            components.steps_feed(data, key=f"{self._stream}-{next(streams)}")


def resume_of(record: Record) -> dict[str, list[int]] | None:
    """Every run's ids so far, to go on from; None where they must be made anew."""
    if not record.steps or record.question.retokenize:
        return None
    names = {"clean": "prefix", "ablated": "ablated_prefix"}
    if record.question.earlier:
        names["unswitched"] = "unswitched_prefix"
    result = {}
    for run, option in names.items():
        steps = [getattr(step, run) for step in record.steps]
        if any(one is None or one.ends for one in steps):
            return None
        result[option] = [one.token_id for one in steps]
    return result
