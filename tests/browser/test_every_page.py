"""What must hold of every page there is: whole without a network, still while it opens, within its
edges, and readable by all."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.support.navigation import PAGES, Named
from tests.support.some import some
from tests.support.tab import resize

SLOW = 180_000
QUERY = "?model=seq-gpt2&prompt=1+2+3+4&answer=+5&distractor=+4&corrupted=8+1+6+3&ablations=a0"
PROBED = "/_stcore/"  # Streamlit looks for its server below a page's address, then above it
DRAWN = "canvas, table, svg.main-svg, .grid [role=checkbox]"
WIDTHS = (1920, 1280, 420)
GRAVE = ("serious", "critical")
OF_COLOURS = ("color-contrast", "link-in-text-block")
"""The rules to which it matters whether a page is light or dark."""
CHOICES_FIT = """() => [...document.querySelectorAll("[data-testid=stMain] [role=radiogroup]")]
  .every(e => e.scrollWidth <= e.clientWidth + 1)"""
MOST = 0.1
"""Of the layout shift that Web Vitals call good."""
WATCHED = """
window.shift = 0;
new PerformanceObserver(list => list.getEntries().forEach(e => {
  if (!e.hadRecentInput) window.shift += e.value;
})).observe({ type: "layout-shift", buffered: true });
"""


@dataclass(frozen=True)
class Opened:
    """One of the pages, opened by its link where only the dashboard can be reached, and the fonts
    it asked for."""

    page: Page
    named: Named
    fonts: list[str] = field(default_factory=list)


@pytest.fixture(scope="module", params=PAGES)
def opened(browser: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """Each page there is, which must log no error in any of its tests."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    it, errors = Opened(context.new_page(), PAGES[request.param]), []
    it.page.set_default_timeout(SLOW)
    it.page.add_init_script(WATCHED)
    others = re.compile(rf"^(?!{re.escape(address)}|data:|blob:)")
    context.route(others, lambda route: route.abort())
    it.page.on("pageerror", lambda e: errors.append(str(e)))
    it.page.on("request", lambda r: it.fonts.append(r.url) if r.resource_type == "font" else None)

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and PROBED not in message.location["url"]:
            errors.append(message.text)

    it.page.on("console", note)
    it.page.goto(f"{address}/{it.named.path}{QUERY}")
    settle(it.page)
    yield it
    context.close()
    assert not errors, errors


def settle(page: Page) -> None:
    """Wait until a page is drawn and at rest, and no work of it goes on."""
    main = page.get_by_test_id("stMain")
    expect(main.locator(DRAWN).filter(visible=True).first).to_be_visible(timeout=SLOW)
    app = page.locator("[data-testid=stApp][data-test-script-state=notRunning]")
    expect(app).to_be_visible(timeout=SLOW)
    for busy in (
        "html.sb-opening, html.sb-turning",
        "[data-stale=true]",
        "[data-testid=stProgress]",
        "[data-testid=stSkeleton]",
    ):
        expect(page.locator(busy)).to_have_count(0, timeout=SLOW)
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def findings(page: Page, rules: Sequence[str] = ()) -> list[str]:
    """What axe-core finds grave, by some of its rules or all: the rule, where, in which words."""
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": [*rules]}
    given = Axe().run(page, options=options).response["violations"]
    return [
        f"{rule['id']} at {node['target']}: {node['failureSummary']}"
        for rule in given
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
    ]


def test_a_page_is_whole_without_a_network_and_nothing_moves_while_it_opens(
    opened: Opened,
) -> None:
    page = opened.page
    assert page.evaluate("shift") < MOST
    link = page.get_by_role("link", name=opened.named.title)
    expect(link).to_have_attribute("aria-current", "page")
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)
    expect(page.get_by_test_id("stCode")).to_have_count(0)  # what colours it is slow to load
    numbers = page.locator("[data-testid=stMetricValue], [data-testid=stMetricDelta]")
    assert not [text for text in numbers.all_inner_texts() if "-" in text]  # a minus is a minus
    for canvas in page.get_by_test_id("stMain").locator("canvas").filter(visible=True).all():
        page.wait_for_function(
            "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)",
            arg=canvas.element_handle(),
        )
    loaded = page.evaluate(
        """async () => { await document.fonts.ready;
        return [...document.fonts].filter(f => f.status !== "unloaded")
          .map(f => [f.family, f.status]); }"""
    )
    assert opened.fonts and {status for _, status in loaded} == {"loaded"}
    assert any("Material Symbols" in family for family, _ in loaded)
    icons = page.get_by_test_id("stIconMaterial").filter(visible=True).all()
    boxes = [some(icon.bounding_box()) for icon in icons]
    assert boxes and all(box["width"] < 32 for box in boxes)  # signs, not words


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_runs_past_the_edge_and_axe_finds_nothing_grave(
    opened: Opened, scheme: Any
) -> None:
    page = opened.page
    if scheme == "dark":
        page.emulate_media(color_scheme=scheme)
    page.wait_for_function(
        """dark => { const app = document.querySelector("[data-testid=stApp]");
        const [r, g, b] = getComputedStyle(app).backgroundColor.match(/\\d+/g).map(Number);
        return (r + g + b < 384) === dark; }""",
        arg=scheme == "dark",
    )
    for width in WIDTHS:
        resize(page, width)
        if width >= 1280:
            page.wait_for_function("w => document.documentElement.scrollWidth <= w", arg=width)
        page.wait_for_function(CHOICES_FIT)
        page.wait_for_function("document.getAnimations().every(e => e.playState !== 'running')")
        if width <= 1280:
            assert not findings(page, OF_COLOURS if scheme == "dark" else ())


def test_nothing_moves_while_a_head_is_switched_and_its_grid_is_two_keys_away(
    opened: Opened,
) -> None:
    page = opened.page
    resize(page, 1280)
    page.evaluate("window.shift = 0; document.activeElement.blur()")
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
        settle(page)
        assert page.evaluate("shift") < MOST
    other = PAGES["lens" if opened.named.path != "lens" else "explore"]
    page.get_by_role("link", name=other.title).click()
    expect(page.get_by_role("link", name=other.title)).to_have_attribute("aria-current", "page")
    settle(page)
    assert page.evaluate("shift") < MOST


def test_axe_would_find_a_text_that_is_too_pale(fresh: Page) -> None:
    fresh.set_content("<html lang=en><title>T</title><main><h1 style='opacity:.3'>Pale</h1></main>")
    for rules in ((), OF_COLOURS):
        assert ["color-contrast" in each for each in findings(fresh, rules)] == [True]


def test_what_moves_would_be_seen(fresh: Page) -> None:
    fresh.set_content("<h1>Here</h1><p style='height: 300px'>below</p>")
    fresh.evaluate(WATCHED)
    fresh.evaluate("new Promise(done => setTimeout(done, 600))")  # none of it is the reader's doing
    fresh.evaluate("document.querySelector('h1').style.marginTop = '400px'")
    fresh.wait_for_function("shift > 0.1")


def test_a_place_is_held_before_anything_is_drawn(fresh: Page, address: str) -> None:
    fresh.route("**/static/js/*", lambda route: route.abort())
    fresh.goto(address)
    expect(fresh.get_by_role("status")).to_have_text("Opening…")
    box = fresh.locator("#sb-opening").bounding_box()
    assert box and (box["width"], box["height"]) == (1280, 900)
