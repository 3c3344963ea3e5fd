"""How soon work ends when the browser tab that asked for it is closed in the middle: a sweep and a
search at GPT-2-small's shape, a draw of 1,000 pairs; seen by what the server's processor does.
Weights are random: speed does not depend on them."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

import psutil

from benchmarks.busy import LONG
from benchmarks.driving import chromium, serving, wait_until_up
from benchmarks.toggle import save_gpt2_small

_IN = 5
"""Seconds after which a tab is closed."""
_WATCHED = 60
"""Seconds for which the processor is watched behind that."""
_PAIRS = {"over": "family", "task": "numerals"}
_ASKED = {
    "sweep": ("sweep", {"prompt": LONG, "answer": " 61", "per": "position"}),
    "search": (
        "circuits",
        {**_PAIRS, "n_pairs": "80", "do": "search", "strategy": "greedy", "search_metric": "kl"},
    ),
    "draw": ("sweep", {**_PAIRS, "n_pairs": "1000"}),
}


def measure() -> None:
    """Print for each how many seconds after its tab was closed the server was busy for the last
    time; and that it goes on for as long as the tab is open."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        save_gpt2_small(Path(folder))
        for name, (page_name, query) in _ASKED.items():
            with serving() as address:
                wait_until_up(address)
                server = _listening(address)
                page = browser.new_page()
                page.goto(f"{address}/{page_name}?{urlencode({'model': folder, **query})}")
                stop = page.get_by_role("button", name="Stop")
                if name == "search":
                    page.get_by_role("button", name="Search", exact=True).click(timeout=300_000)
                stop.first.wait_for(timeout=300_000)
                page.wait_for_timeout(1000 * _IN)
                goes_on = bool(stop.count())
                page.close()
                print(f"{name}: it still ran when its tab was closed: {goes_on}; the server's "
                      f"processor was busy until {_busy_until(server)} s after (at most 40 is "
                      f"claimed, {_WATCHED} watched)")  # fmt: skip


def _listening(address: str) -> psutil.Process:
    """The process that answers at a loopback address."""
    port = int(address.rpartition(":")[2])
    (own,) = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.laddr and each.laddr.port == port and each.status == psutil.CONN_LISTEN
    }
    return psutil.Process(own)


def _busy_until(server: psutil.Process) -> int:
    begun, last = time.monotonic(), 0
    server.cpu_percent()
    while time.monotonic() - begun < _WATCHED:
        time.sleep(1)
        if server.cpu_percent() > 10:
            last = round(time.monotonic() - begun)
    return last
