"""What another session's long work does to a click: from a click on a head to the repainted
ranking, in real Chromium at GPT-2-small's shape, alone, while a second session sweeps the same
model position by position, and while one draws 1,000 pairs. Weights are random: speed does not
depend on them."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser

from benchmarks.click import clicks, opened
from benchmarks.driving import chromium, serving, wait_until_up
from benchmarks.timing import percentile, told
from benchmarks.toggle import save_gpt2_small

CLICKS = 40
LONG = " ".join(str(n) for n in range(1, 61))
_OTHERS = {
    "a sweep": {"prompt": LONG, "answer": " 61", "per": "position"},
    "a draw of 1,000 pairs": {"over": "family", "task": "numerals", "n_pairs": "1000"},
}


def measure() -> None:
    """Print click-to-paint alone and beside each of the others, and whether that still ran."""
    rng = random.Random(0)
    names = [f"L{rng.randrange(12)}H{rng.randrange(12)}" for _ in range(CLICKS + 5)]
    with tempfile.TemporaryDirectory() as folder, serving() as address, chromium() as browser:
        save_gpt2_small(Path(folder))
        wait_until_up(address)
        alone = _clicks(browser, address, folder, names)
        print(told("a click, nothing else going on", alone))
        for title, query in _OTHERS.items():
            other = browser.new_page()
            other.goto(f"{address}/sweep?{urlencode({'model': folder, **query})}")
            other.get_by_role("button", name="Stop").wait_for(timeout=90_000)
            beside = _clicks(browser, address, folder, names)
            goes_on = bool(other.get_by_role("button", name="Stop").count())
            other.close()
            print(told(f"a click beside {title}", beside))
            print(f"p95 {percentile(beside, 95) / percentile(alone, 95):.2f} × that alone (at most "
                  f"2 is claimed); it still ran after the clicks: {goes_on}")  # fmt: skip


def _clicks(browser: Browser, address: str, model: str, names: list[str]) -> list[float]:
    asked = {"model": model, "prompt": "1 2 3 4 5 6 7 8 9 10", "answer": " 11"}
    page = opened(browser, f"{address}/?{urlencode(asked)}", ".tables")
    (values,) = clicks([page], names)
    page.context.close()
    return values[5:]
