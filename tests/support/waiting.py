"""A page whose work goes on beside it, waited for: AppTest has no clock to run a fragment by."""

from __future__ import annotations

import threading
import time
from typing import Any

from streamlit.testing.v1 import AppTest

import engine
from pages._parts.work import Asked


def waited(page: AppTest, seconds: float = 90.0) -> AppTest:
    """The page once its work is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        kept = [one for _, one in page.session_state.items() if isinstance(one, Asked)]
        going = [one.going for one in kept if one.going is not None]
        if not going:
            return page
        for work in going:
            _over(work, until)
        page.run()
    raise AssertionError(f"the work is not over after {seconds:.0f} seconds")


def _over(work: engine.Work[Any, Any], until: float) -> None:
    """Wait until work is over, as one who looks at it."""
    over = threading.Event()
    work.when_done(over.set)
    while not (work.is_over or over.wait(1)) and time.monotonic() < until:
        work.look()


def begun(page: AppTest, key: str, seconds: float = 90.0) -> Asked:
    """What is kept under a key, once the page has come to ask it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        kept = dict(page.session_state.items()).get(key)
        if isinstance(kept, Asked):
            return kept
        time.sleep(0.02)
        page.run()
    raise AssertionError(f"nothing was asked under {key} in {seconds:.0f} seconds")
