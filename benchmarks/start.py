"""From `make run` on an installed tree to a page that shows a ranking, in real Chromium.

The rival is `streamlit run app.py`: the same page without serve.py's head start.
"""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager

from playwright.sync_api import Browser

from benchmarks.driving import ROOT, chromium, serving, wait_until_up

ROUNDS = 3


def until_usable(browser: Browser, server: AbstractContextManager[str]) -> float:
    """Seconds from starting the server to the first ranking on the page."""
    start = time.perf_counter()
    with server as address:
        wait_until_up(address)
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector(".tables table", timeout=120_000)
        taken = time.perf_counter() - start
        page.close()
    return taken


def measure() -> None:
    """Print the start of both ways, in turn."""
    # make run on an installed tree ends in this command; there it is run through make itself.
    installed = (ROOT / ".venv" / ".run").exists()
    command = ["make", "run"] if installed else None
    ours, rival = [], []
    with chromium() as browser:
        for _ in range(ROUNDS):
            ours.append(until_usable(browser, serving("serve.py", _with_port(command))))
            rival.append(until_usable(browser, serving("app.py")))
    name = "make run" if installed else f"{sys.executable} -m streamlit run serve.py"
    print(f"{name}: " + ", ".join(f"{t:.1f} s" for t in ours) + " (within 10 s is claimed)")
    print("streamlit run app.py: " + ", ".join(f"{t:.1f} s" for t in rival))


def _with_port(command: list[str] | None) -> list[str] | None:
    return ["sh", "-c", 'exec make run PORT="$PORT"'] if command else None
