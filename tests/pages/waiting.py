"""A page whose work goes on beside it, waited for: AppTest has no clock to run a fragment by."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest

from pages._parts import circuit_job

GOES_ON = ("_sweep", *circuit_job.KEYS)
"""Where a session keeps work that goes on while no script runs."""


def waited(page: AppTest) -> AppTest:
    """The page once its work is over."""
    for _ in range(200):
        kept = [page.session_state[name] for name in GOES_ON if name in page.session_state]
        if all(one is None or one.going is None for one in kept):
            return page
        page.run()
    raise AssertionError("the work is not over after 200 runs")
