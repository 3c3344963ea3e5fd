"""From a click on a head to the repainted ranking, in real Chromium on seq-gpt2.

The rival is the same question asked through the widgets Streamlit has itself: a checkbox a head
and a dataframe a ranking, the way dashboards of this kind are usually made.
"""

from __future__ import annotations

import random

from playwright.sync_api import Page

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


def clicks(page: Page, selector: str, names: list[str]) -> list[float]:
    """Click cells one after the other. Returns: seconds from pointer-up to the repaint of each."""
    page.evaluate(_WATCH, selector)
    for i, name in enumerate(names):
        page.get_by_role("checkbox", name=name, exact=True).click(force=True)
        page.wait_for_function("n => window.paints.length > n", arg=i, timeout=30_000)
        page.wait_for_timeout(30)
    return [ms / 1000 for ms in page.evaluate("window.paints")]


def measure() -> None:
    """Print click-to-paint of the dashboard and of the checkbox page."""
    rng = random.Random(0)
    names = [f"L{rng.randrange(4)}H{rng.randrange(6)}" for _ in range(CLICKS + 5)]
    figures = {}
    with chromium() as browser:
        for title, script, selector in (
            ("Switchboard: click to repainted ranking", ROOT / "serve.py", ".tables"),
            ("the same with checkboxes and a table", ROOT / "benchmarks/checkboxes.py", "table"),
        ):
            with serving(script) as address:
                wait_until_up(address)
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.goto(address)
                page.wait_for_selector(selector, timeout=90_000)
                page.wait_for_timeout(2000)
                figures[title] = clicks(page, selector, names)[5:]
                page.close()
    for title, values in figures.items():
        print(told(title, values))
    ours, rival = (percentile(v, 95) for v in figures.values())
    speed = f"{rival / ours:.1f} × the rival's speed"
    print(f"p95 {1000 * ours:.0f} ms (at most 150 ms is claimed), {speed}")
