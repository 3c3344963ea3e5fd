"""A page whose work goes on beside it, waited for: AppTest has no clock to run a fragment by."""

from __future__ import annotations

import time

from streamlit.testing.v1 import AppTest

from pages._parts.circuits import job as circuit_job
from pages._parts.circuits import search as circuit_search

GOES_ON = ("_sweep", circuit_search.KEY, *circuit_job.KEYS)
"""Where a session keeps work that goes on while no script runs."""


def waited(page: AppTest, seconds: float = 90.0) -> AppTest:
    """The page once its work is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        kept = [page.session_state[name] for name in GOES_ON if name in page.session_state]
        if all(one is None or one.going is None for one in kept):
            return page
        time.sleep(0.05)
        page.run()
    raise AssertionError(f"the work is not over after {seconds:.0f} seconds")
