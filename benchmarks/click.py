"""From a click on a head to the repainted ranking, in real Chromium on seq-gpt2.

The rival is the same question asked through the widgets Streamlit has itself: a checkbox a head
and a dataframe a ranking, the way dashboards of this kind are usually made.
"""

from __future__ import annotations

import os
import random
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Browser, Page

from benchmarks.driving import ROOT, chromium, serving, wait_until_up
from benchmarks.timing import percentile, told

CLICKS = 60
_WATCH = """(selector) => {
  const roots = [document];
  for (let i = 0; i < roots.length; i++)
    roots[i].querySelectorAll('*').forEach(e => { if (e.shadowRoot) roots.push(e.shadowRoot); });
  const seen = roots.map(r => r.querySelector(selector)).find(Boolean);
  window.paints = [];
  let from = null;
  document.addEventListener('pointerup', () => { from = performance.now(); }, true);
  new MutationObserver(() => {
    if (from === null) return;
    const start = from;
    from = null;
    requestAnimationFrame(() => setTimeout(() => window.paints.push(performance.now() - start)));
  }).observe(seen, { childList: true, subtree: true, characterData: true, attributes: true });
}"""


def opened(browser: Browser, address: str, selector: str) -> Page:
    """A dashboard in a window of its own, once it shows what `selector` names."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(address)
    page.wait_for_selector(selector, timeout=90_000)
    page.wait_for_timeout(2000)
    page.evaluate(_WATCH, selector)
    return page


def clicks(pages: list[Page], names: list[str]) -> list[list[float]]:
    """Click the cells one after the other, each on every page before the next, the pages in an
    order drawn anew each time. Returns: seconds from pointer-up to the repaint, page by page."""
    rng = random.Random(0)
    for i, name in enumerate(names):
        for page in rng.sample(pages, len(pages)):
            page.bring_to_front()
            page.wait_for_timeout(50)
            page.get_by_role("checkbox", name=name, exact=True).click(force=True)
            page.wait_for_function("n => window.paints.length > n", arg=i, timeout=30_000)
            page.wait_for_timeout(100)
    return [[ms / 1000 for ms in page.evaluate("window.paints")] for page in pages]


def measure() -> None:
    """Print click-to-paint of the dashboard and of the checkbox page, and of the dashboard in the
    tree that $BESIDE names, if any."""
    rng = random.Random(0)
    names = [f"L{rng.randrange(4)}H{rng.randrange(6)}" for _ in range(CLICKS + 5)]
    arms = {
        "Switchboard: click to repainted ranking": ("serve.py", ROOT, ".tables"),
        "the same with checkboxes and a table": ("benchmarks/checkboxes.py", ROOT, "table"),
    }
    beside = os.environ.get("BESIDE")
    if beside:
        arms["Switchboard as $BESIDE has it"] = ("serve.py", Path(beside).resolve(), ".tables")
    with ExitStack() as stack:
        browser = stack.enter_context(chromium())
        pages = []
        for script, tree, selector in arms.values():
            address = stack.enter_context(serving(script, tree=tree))
            wait_until_up(address)
            pages.append(opened(browser, address, selector))
        figures = [seconds[5:] for seconds in clicks(pages, names)]
    for title, values in zip(arms, figures, strict=True):
        print(told(title, values))
    ours, *others = (percentile(values, 95) for values in figures)
    speed = f"{others[0] / ours:.1f} × the rival's speed"
    print(f"p95 {1000 * ours:.0f} ms (at most 150 ms is claimed), {speed}")
    if beside:
        share = percentile(figures[0], 50) / percentile(figures[2], 50)
        print(f"median {share:.2f} of that beside")
