"""What another session's long sweep does to a click: from a click on a head to the repainted
ranking, in real Chromium at GPT-2-small's shape, alone and while a second session sweeps the same
model position by position. Weights are random: speed does not depend on them."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.click import clicks
from benchmarks.driving import chromium, serving, wait_until_up
from benchmarks.timing import percentile, told
from benchmarks.toggle import save_gpt2_small

CLICKS = 40
_LONG = " ".join(str(n) for n in range(1, 61))


def measure() -> None:
    """Print click-to-paint without and with a sweep going on, and how far the sweep was."""
    rng = random.Random(0)
    names = [f"L{rng.randrange(12)}H{rng.randrange(12)}" for _ in range(CLICKS + 5)]
    figures = []
    with tempfile.TemporaryDirectory() as folder, serving() as address, chromium() as browser:
        save_gpt2_small(Path(folder))
        wait_until_up(address)
        asked = {"model": folder, "prompt": "1 2 3 4 5 6 7 8 9 10", "answer": " 11"}
        for sweeps in (False, True):
            if sweeps:
                other = browser.new_page()
                long = {"model": folder, "prompt": _LONG, "answer": " 61", "per": "position"}
                other.goto(f"{address}/sweep?{urlencode(long)}")
                other.get_by_role("button", name="Stop").wait_for(timeout=90_000)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"{address}/?{urlencode(asked)}")
            page.wait_for_selector(".tables", timeout=90_000)
            page.wait_for_timeout(2000)
            figures.append(clicks(page, ".tables", names)[5:])
            if sweeps:
                told_share = other.get_by_text("% left", exact=False).first
                goes_on = other.get_by_role("button", name="Stop").count()
                print(f"the sweep still ran after the clicks: {bool(goes_on)}, "
                      f"“{told_share.inner_text() if told_share.count() else ''}”")  # fmt: skip
                other.close()
            page.close()
    for title, values in zip(("a click, nothing else going on", "a click beside a sweep"), figures,
                             strict=True):  # fmt: skip
        print(told(title, values))
    alone, beside = (percentile(values, 95) for values in figures)
    print(f"p95 {beside / alone:.2f} × that without a sweep (at most 2 is claimed)")
