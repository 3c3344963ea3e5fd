"""What only a browser can show of the lens page."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

from playwright.sync_api import Page, expect

SLOW = 180_000
QUERY = "?model=seq-gpt2&prompt=1+2+3+4&answer=+5&distractor=+4"
GRID = ".sb-figure .heatmaplayer"


def open_page(page: Page, address: str, query: str = QUERY) -> None:
    page.goto(f"{address}/lens{query}")
    expect(page.locator(GRID).first).to_be_visible(timeout=SLOW)


def cell(page: Page, layer: int, column: int, layers: int = 6, columns: int = 4) -> tuple:
    """The middle of a cell, on the screen."""
    box = page.locator(GRID).first.bounding_box()
    assert box is not None
    return (
        box["x"] + box["width"] * (column + 0.5) / columns,
        box["y"] + box["height"] * (layer + 0.5) / layers,
    )


def test_the_answer_stands_in_the_last_cell_and_hovering_tells_more(
    page: Page, address: str
) -> None:
    open_page(page, address)
    written = page.locator(".sb-figure .heatmap-label").all_text_contents()
    assert len(written) == 24 and written.count("␣5") >= 1
    page.mouse.move(*cell(page, 5, 3))
    told = page.locator(".sb-figure .hovertext")
    expect(told).to_contain_text("after layer 5, reading ␣4 (position 3)")
    expect(told).to_contain_text("1  ␣5")
    expect(told).to_contain_text("answer ranks 1")


def test_a_head_switched_off_here_changes_the_grid_and_the_lines(page: Page, address: str) -> None:
    open_page(page, address, QUERY + "&run=difference")
    expect(page.locator(".sb-figure .scatterlayer .trace")).to_have_count(2)
    page.get_by_role("checkbox", name="L0H1", exact=True).click()
    expect(page).to_have_url(re.compile(r"ablations=0\.1"))
    expect(page.locator(".sb-figure .scatterlayer .trace")).to_have_count(4)
    page.mouse.move(*cell(page, 5, 3))
    expect(page.locator(".sb-figure .hovertext")).to_contain_text("ablated: entropy")


def test_the_plain_table_is_one_click_away(page: Page, address: str) -> None:
    open_page(page, address)
    page.get_by_text("The last position as text").click()
    expect(page.get_by_text(re.compile(r"layer\s+1\s+2\s+3\s+4\s+5"))).to_be_visible()


def test_both_figures_download(page: Page, address: str) -> None:
    open_page(page, address)
    starts = {"PNG": b"\x89PNG", "SVG": b"<svg", "CSV": b"layer,"}
    for nth, (format_, start) in product((0, 1), starts.items()):
        with page.expect_download() as told:
            page.get_by_role("button", name=format_, exact=True).nth(nth).click()
        content = Path(told.value.path()).read_bytes()
        assert content.startswith(start) and len(content) > 250
        if format_ == "SVG":
            assert "␣5".encode() in content and b"</text>" in content


def test_a_long_prompt_scrolls_within_the_page_to_its_end(page: Page, address: str) -> None:
    prompt = "+".join(str(n) for n in range(1, 61))
    open_page(page, address, f"?model=seq-gpt2&prompt={prompt}&answer=+61")
    page.wait_for_timeout(500)
    host = page.locator(".sb-figure").first
    assert host.evaluate("e => e.scrollWidth > e.clientWidth && e.scrollLeft > 0")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    box = page.locator(".sb-figure .colorbar").first.bounding_box()
    assert box is not None and box["x"] + box["width"] <= 1280
