"""That all can read a page and reach what is on it, in both themes."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_every_page import open_page
from tests.support.navigation import PAGES

WIDTHS = (1280, 420)
GRAVE = ("serious", "critical")


def findings(page: Page) -> list[str]:
    """What axe-core finds grave: the rule, where, and in which words."""
    given = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{rule['id']} at {node['target']}: {node['failureSummary']}"
        for rule in given
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_grave(browser: Browser, address: str, name: str, scheme: Any) -> None:
    page = browser.new_page(viewport={"width": WIDTHS[0], "height": 900}, color_scheme=scheme)
    page.set_default_timeout(120_000)
    open_page(page, address, name)
    for busy in ("[data-stale=true]", "[data-testid=stProgress]"):
        expect(page.locator(busy)).to_have_count(0, timeout=120_000)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function("w => innerWidth === w", arg=width)
        page.wait_for_function("document.getAnimations().every(e => e.playState !== 'running')")
        assert not findings(page)
    page.close()


def test_axe_would_find_a_text_that_is_too_pale(page: Page) -> None:
    page.set_content("<html lang=en><title>T</title><main><h1 style='opacity:.3'>Pale</h1></main>")
    assert ["color-contrast" in each for each in findings(page)] == [True]
