"""Work that a page follows."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from streamlit.testing.v1 import AppTest

import engine
from pages._parts import work


class Chatty:
    """Work whose parts come faster than they are read, without end."""

    so_far: int | None = None

    def within(self, seconds: float) -> Iterator[int]:
        while True:
            self.so_far = (self.so_far or 0) + 1
            yield self.so_far


def test_work_that_tells_faster_than_it_is_read_does_not_keep_the_page() -> None:
    going = Chatty()
    question: Any = engine.Sweep(engine.Experiment("seq-gpt2"))
    asked: Any = work.Asked(question, cast(Any, going))
    asked.follow()
    assert not asked.answered and asked.going is going
    assert asked.known() == going.so_far and going.so_far


GOING = SimpleNamespace(progress=0.5, cancel=lambda: None)


def asked(**known: Any) -> Any:
    return SimpleNamespace(
        **{"going": None, "stopped": False, "failed": None, "result": None} | known,
        answered=not known,
    )


@pytest.mark.parametrize(
    ("one", "drawn"),
    [
        (None, 0),
        (asked(), 0),
        (asked(going=GOING), 1),
        (asked(stopped=True), 1),
        (asked(failed=engine.EngineError("No.")), 1),
    ],
)
def test_what_stands_below_a_share_keeps_its_place_whatever_becomes_of_the_work(
    monkeypatch: pytest.MonkeyPatch, one: Any, drawn: int
) -> None:
    def page() -> None:
        import streamlit as st

        from pages._parts import work

        work.progress("_asked")
        st.caption("below")

    monkeypatch.setattr(work, "find", lambda key: one)
    children = AppTest.from_function(page).run().main.children
    assert children[1].type == "caption" and len(children) == 2
    assert len(getattr(children[0], "children", ())) == drawn
