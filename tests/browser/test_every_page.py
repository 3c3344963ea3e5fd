"""What must hold of every page there is, in a browser without any network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.support.navigation import PAGES
from tests.support.some import some

SLOW = 180_000
QUERY = "?model=seq-gpt2&prompt=1+2+3+4&answer=+5&distractor=+4&ablations=a0"
PROBED = "/_stcore/"  # Streamlit looks for its server below a page's address, then above it
DRAWN = "canvas, table, svg.main-svg, .grid [role=checkbox]"


@pytest.fixture
def cut_off(browser: Browser, address: str) -> Iterator[Page]:
    """A page that reaches the dashboard's server and nothing else, and logs no error."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    one, errors = context.new_page(), []
    one.set_default_timeout(SLOW)
    context.route(
        lambda url: not url.startswith((address, "data:", "blob:")), lambda route: route.abort()
    )
    one.on("pageerror", lambda e: errors.append(str(e)))

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and PROBED not in message.location["url"]:
            errors.append(message.text)

    one.on("console", note)
    yield one
    context.close()
    assert not errors, errors


def open_page(page: Page, address: str, name: str) -> None:
    """Open a page by its link and wait until it is drawn and at rest."""
    page.goto(f"{address}/{PAGES[name].path}{QUERY}")
    main = page.get_by_test_id("stMain")
    expect(main.locator(DRAWN).filter(visible=True).first).to_be_visible(timeout=SLOW)
    app = page.locator("[data-testid=stApp][data-test-script-state=notRunning]")
    expect(app).to_be_visible(timeout=SLOW)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_without_a_network(cut_off: Page, address: str, name: str) -> None:
    fonts: list[str] = []
    cut_off.on("request", lambda r: fonts.append(r.url) if r.resource_type == "font" else None)
    open_page(cut_off, address, name)
    expect(cut_off.get_by_role("link", name=PAGES[name].title)).to_have_attribute(
        "aria-current", "page"
    )
    expect(cut_off.get_by_test_id("stException")).to_have_count(0)
    expect(cut_off.get_by_test_id("stAlertContentError")).to_have_count(0)
    for canvas in cut_off.get_by_test_id("stMain").locator("canvas").filter(visible=True).all():
        cut_off.wait_for_function(
            "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)",
            arg=canvas.element_handle(),
        )
    assert fonts and all(url.startswith(address) for url in fonts)
    loaded = cut_off.evaluate(
        """async () => { await document.fonts.ready;
        return [...document.fonts].filter(f => f.status !== "unloaded")
          .map(f => [f.family, f.status]); }"""
    )
    assert {status for _, status in loaded} == {"loaded"}
    assert any("Material Symbols" in family for family, _ in loaded)
    icons = cut_off.get_by_test_id("stIconMaterial").filter(visible=True).all()
    boxes = [some(icon.bounding_box()) for icon in icons]
    assert boxes and all(box["width"] < 32 for box in boxes)  # signs, not words


@pytest.mark.parametrize("name", PAGES)
def test_nothing_runs_past_the_edge(page: Page, address: str, name: str) -> None:
    open_page(page, address, name)
    scheme: Any
    for scheme, dark in (("light", False), ("dark", True)):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(
            """dark => { const app = document.querySelector("[data-testid=stApp]");
            const [r, g, b] = getComputedStyle(app).backgroundColor.match(/\\d+/g).map(Number);
            return (r + g + b < 384) === dark; }""",
            arg=dark,
        )
        for width in (1280, 1920):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_function(
                "w => innerWidth === w && document.documentElement.scrollWidth <= w", arg=width
            )
