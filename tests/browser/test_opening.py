"""A page's place is held while it opens: nothing that can be seen moves."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_every_page import SLOW, open_page
from tests.support.navigation import PAGES

MOST = 0.1
"""Of the layout shift that Web Vitals call good."""
WATCHED = """
window.shift = 0;
new PerformanceObserver(list => list.getEntries().forEach(e => {
  if (!e.hadRecentInput) window.shift += e.value;
})).observe({ type: "layout-shift", buffered: true });
"""


def settled(page: Page) -> None:
    """Wait until a page is shown and no work of it goes on."""
    expect(page.locator("html.sb-opening, html.sb-turning")).to_have_count(0, timeout=SLOW)
    for busy in ("stProgress", "stSkeleton"):
        expect(page.get_by_test_id(busy)).to_have_count(0, timeout=SLOW)
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


@pytest.mark.parametrize("name", PAGES)
def test_nothing_moves_while_a_page_opens_or_a_head_is_switched_and_its_grid_is_two_keys_away(
    page: Page, address: str, name: str
) -> None:
    page.add_init_script(WATCHED)
    open_page(page, address, name)
    settled(page)
    assert page.evaluate("shift") < MOST
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # past the menus
    if page.get_by_role("checkbox", name="L0H0", exact=True).count():
        expect(page.get_by_role("checkbox", name="L0H0", exact=True)).to_be_focused()
    page.keyboard.press("Alt+p")
    expect(page.get_by_role("textbox", name="Prompt", exact=True)).to_be_focused()
    switch = page.get_by_role("checkbox", name="L1H1", exact=True)
    if switch.count():
        switch.click()
        expect(page.get_by_role("button", name="Remove 1.1")).to_be_visible()
        settled(page)
        assert page.evaluate("shift") < MOST
    other = PAGES["lens" if name != "lens" else "explore"]
    page.get_by_role("link", name=other.title).click()
    expect(page.get_by_role("link", name=other.title)).to_have_attribute("aria-current", "page")
    settled(page)
    assert page.evaluate("shift") < MOST


def test_what_moves_would_be_seen(page: Page) -> None:
    page.set_content("<h1>Here</h1><p style='height: 300px'>below</p>")
    page.evaluate(WATCHED)
    page.evaluate("new Promise(done => setTimeout(done, 600))")  # none of it is the reader's doing
    page.evaluate("document.querySelector('h1').style.marginTop = '400px'")
    page.wait_for_function("shift > 0.1")


def test_a_place_is_held_before_anything_is_drawn(page: Page, address: str) -> None:
    page.route("**/static/js/*", lambda route: route.abort())
    page.goto(address)
    expect(page.get_by_role("status")).to_have_text("Opening…")
    box = page.locator("#sb-opening").bounding_box()
    assert box and (box["width"], box["height"]) == (1280, 900)
