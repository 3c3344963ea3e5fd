"""Work that a page follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

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
