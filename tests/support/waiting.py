"""A page whose work goes on beside it, waited for: AppTest has no clock to run a fragment by."""

from __future__ import annotations

import time

from streamlit.testing.v1 import AppTest

from pages._parts.work import Asked


def waited(page: AppTest, seconds: float = 90.0) -> AppTest:
    """The page once its work is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        kept = [one for _, one in page.session_state.items()]
        if not any(isinstance(one, Asked) and one.going is not None for one in kept):
            return page
        time.sleep(0.05)
        page.run()
    raise AssertionError(f"the work is not over after {seconds:.0f} seconds")


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
