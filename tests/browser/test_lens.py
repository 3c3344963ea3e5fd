"""What only a browser can show of the lens page."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.some import some
from tests.support.turning import turn

SLOW = 180_000
QUERY = "?model=seq-gpt2&prompt=1+2+3+4&answer=+5&distractor=+4"
BOX = ".box[role=region]"
CELLS = ".box td"


def open_page(page: Page, address: str, query: str = QUERY) -> None:
    turn(page, f"{address}/lens{query}")
    expect(page.locator(CELLS).first).to_be_visible(timeout=SLOW)


def cell(page: Page, layer: int, column: int) -> Locator:
    return page.locator(".box tbody tr").nth(layer).locator("td").nth(column)


def test_the_answer_stands_in_the_last_cell_and_hovering_tells_more(
    page: Page, address: str
) -> None:
    open_page(page, address)
    expect(page.locator(CELLS)).to_have_count(24)
    expect(cell(page, 5, 3)).to_have_text("␣5")
    expect(cell(page, 5, 3)).to_have_class(re.compile("leads"))
    cell(page, 5, 3).hover()
    told = page.locator(".tip")
    expect(told).to_contain_text("after layer 5, reading ␣4 (position 3)")
    expect(told).to_contain_text("1  ␣5")
    expect(told).to_contain_text("answer ranks 1")
    page.get_by_role("region", name="Best token after each layer").focus()
    page.keyboard.press("ArrowUp")
    page.mouse.move(0, 0)
    page.keyboard.press("ArrowDown")
    expect(told).to_contain_text("after layer 5")
    page.keyboard.press("ArrowUp")
    expect(told).to_contain_text("after layer 4, reading ␣4")


def test_a_head_switched_off_here_changes_the_grid_and_the_lines(page: Page, address: str) -> None:
    open_page(page, address, QUERY + "&run=difference")
    expect(page.locator(".sb-figure .scatterlayer .trace")).to_have_count(2)
    page.get_by_role("checkbox", name="L0H1", exact=True).click()
    expect(page).to_have_url(re.compile(r"ablations=0\.1"))
    expect(page.locator(".sb-figure .scatterlayer .trace")).to_have_count(4)
    cell(page, 5, 3).hover()
    expect(page.locator(".tip")).to_contain_text("ablated: entropy")


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


def test_a_long_prompt_is_scrolled_to_its_end_with_names_in_view_and_what_is_hidden_counted(
    page: Page, address: str
) -> None:
    prompt = "+".join(str(n) for n in range(1, 61))
    open_page(page, address, f"?model=seq-gpt2&prompt={prompt}&answer=+61")
    box, left = page.locator(BOX), page.locator(".end.left")
    expect(page.get_by_role("columnheader", name="layer 28 before")).to_be_visible()
    expect(cell(page, 5, 31)).to_be_in_viewport()
    expect(page.locator(".end.right")).to_be_hidden()
    hidden = int(re.findall(r"\d+", left.inner_text())[0])
    names = box.locator("thead th").first.bounding_box()
    lefts = [some(e.bounding_box())["x"] for e in box.locator("thead th").all()[1:]]
    assert 0 < hidden < 32 and sum(x + 12 < some(names)["x"] for x in lefts) in range(
        hidden - 2, hidden + 2
    )
    layer = some(box.locator("tbody th").first.bounding_box())
    assert layer["x"] == pytest.approx(some(names)["x"], abs=9)
    while left.is_visible():
        left.evaluate("e => e.click()")  # it may go at any moment, once all is in view
    expect(cell(page, 0, 0)).to_be_in_viewport()
    expect(page.locator(".end.right")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


READ = """box => {
  const channels = c => c.match(/[\\d.]+/g).map(Number);
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = c => c.reduce((sum, v, i) => sum + [.2126, .7152, .0722][i] * linear(v / 255), 0);
  const over = ([r, g, b, a], under) => [r, g, b].map((v, i) => v * a + under[i] * (1 - a));
  const contrast = (e, under) => {
    const alpha = Number(getComputedStyle(e).opacity);
    const ink = over([...channels(getComputedStyle(e).color).slice(0, 3), alpha], under);
    const [a, b] = [light(ink), light(under)].sort((x, y) => y - x);
    return (a + .05) / (b + .05);
  };
  return [...box.querySelectorAll("td")].flatMap(td => {
    const under = channels(getComputedStyle(td).backgroundColor);
    return [td, ...td.querySelectorAll(".sign")].map(e => contrast(e, under));
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_cell_is_read_at_4_5_to_1_or_better(page: Page, address: str, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    open_page(page, address, QUERY + "&ablations=a0")
    seen: set[str] = set()
    for run, colour in product(("Clean", "Difference"), ("probability", "answer's rank")):
        page.get_by_role("radio", name=run, exact=True).click()
        page.get_by_role("combobox", name="Colour").click()
        page.get_by_role("option", name=colour).click()
        wanted = colour + (", ablated − clean" if run == "Difference" else "")
        expect(page.locator(".key b")).to_contain_text(wanted)
        ratios = page.locator(BOX).evaluate(READ)
        assert len(ratios) > 24 and min(ratios) >= 4.5, min(ratios)
        seen |= set(
            page.locator(CELLS).evaluate_all("all => all.map(e => getComputedStyle(e).color)")
        )
    assert seen == {"rgb(0, 0, 0)", "rgb(255, 255, 255)"}  # pale tints and deep ones


def test_more_and_less_are_told_by_more_than_colour(page: Page, address: str) -> None:
    open_page(page, address, QUERY + "&ablations=a0")
    signed = page.locator(f"{BOX} td:not([data-sign=''])")
    expect(signed).to_have_count(0)
    page.get_by_role("radio", name="Difference", exact=True).click()
    expect(signed).not_to_have_count(0)
    written = page.locator(BOX).evaluate(
        "box => [...box.querySelectorAll('td')].map(e => [e.dataset.sign,"
        " getComputedStyle(e, '::before').content, getComputedStyle(e).backgroundColor])"
    )
    for sign, shown, colour in written:
        red, _, blue = map(int, re.findall(r"\d+", colour)[:3])
        assert shown == (f'"{sign}"' if sign else "none")
        assert not sign or sign == ("+" if blue > red else "−")
    assert {sign for sign, *_ in written} >= {"", "−"}
