"""The head grid by itself: a large model's size, tints, and what it tells Python."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from engine.showing.palette import SIGNED
from tests.support.server import served
from tests.support.some import some
from tests.support.tab import Tab, resize
from tests.support.turning import PUSH


@pytest.fixture(scope="module")
def grid() -> Iterator[str]:
    with served("tests/support/big_grid.py") as address:
        yield address


@pytest.fixture(scope="module")
def turned(browser: Browser, grid: str) -> Iterator[Page]:
    """A tab that is turned from one grid to another."""
    tab = Tab.of(browser)
    tab.page.goto(grid)
    first = tab.page.get_by_role("checkbox", name="L0H0", exact=True)
    expect(first).to_be_visible(timeout=60_000)
    yield tab.page
    tab.close()


def cell(page: Page, name: str) -> Locator:
    """A cell by its label: to name all of a thousand by their roles takes a second."""
    return page.locator(f'.cell[aria-label="{name}"]')


def tint(page: Page, name: str) -> str:
    return str(cell(page, name).evaluate("e => e.style.getPropertyValue('--tint')"))


def rgb(colour: str) -> str:
    return f"rgb({','.join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))})"


def test_a_value_has_its_colour_on_the_scale_of_the_figures(fresh: Page, grid: str) -> None:
    page = fresh
    page.goto(grid)
    expect(page.get_by_role("checkbox", name="L0H0", exact=True)).to_be_visible(timeout=60_000)
    (_, less), (_, middle), (_, more) = SIGNED
    assert tint(page, "L0H0") == rgb(less)  # −1
    assert tint(page, "MLP0") == rgb(middle)  # 0
    assert tint(page, "L1H31") == rgb(more)  # +1
    assert tint(page, "L0H16") == "rgb(232,156,151)"  # −1/2, half the way from red to the middle
    assert tint(page, "L0H1") == ""  # not known
    signs = {
        "L0H0": "−",
        "L0H16": "−",
        "L0H26": "",
        "MLP0": "",
        "L1H5": "",
        "L1H6": "+",
        "L0H1": "",
    }
    for name, sign in signs.items():  # from a fifth of the strongest on: not by colour alone
        assert cell(page, name).get_attribute("data-sign") == sign, name
    cell(page, "L0H0").hover()
    expect(page.get_by_text("L0H0 · on · effect −1.000 (1 of 1023)")).to_be_visible()


def test_the_bar_outlines_what_comes_first_and_tells_python_only_what_is_asked(
    fresh: Page, grid: str
) -> None:
    page = fresh
    page.goto(f"{grid}/?layers=4&heads=8")  # from −1, L0H0, by 1/32 a cell; L0H1 is not known
    bar = page.get_by_role("slider", name="How many are outlined")
    expect(bar).to_have_attribute("aria-valuenow", "5", timeout=60_000)
    first = page.get_by_role("checkbox", name="L0H0", exact=True)
    expect(first).to_have_attribute("aria-description", "−1.000 (1 of 31)")
    expect(page.get_by_text(re.compile("^5 outlined: L0H0 −1.000 .1 of 31"))).to_be_visible()
    bar.focus()
    for key, text in (
        ("ArrowRight", "6 of 31, to −0.813"),
        ("PageUp", "16 of 31, to −0.438"),
        ("End", "30 of 31, to +0.031"),
        ("Home", "none"),
    ):
        page.keyboard.press(key)
        expect(bar).to_have_attribute("aria-valuetext", text)
    expect(page.get_by_role("button", name="Switch off")).to_be_disabled()
    box = some(bar.bounding_box())
    bar.hover(position={"x": 1, "y": 9})
    page.mouse.down()
    for share in (0.3, 0.55):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + 60)  # off the bar, held
    expect(bar).to_have_attribute("aria-valuenow", "9")  # 0.55² of the 30 that are not 0
    page.mouse.up()
    expect(page.get_by_text("got None")).to_be_visible()
    page.get_by_role("combobox", name="Which come first").select_option("above 0")
    page.get_by_role("checkbox", name="MLPs", exact=True).check()
    page.get_by_role("button", name="5", exact=True).click()
    last = page.get_by_role("checkbox", name="MLP3", exact=True)  # +3/32
    expect(last).to_have_attribute("aria-description", "+0.094 (1 of 35)")
    assert first.get_attribute("aria-description") is None
    page.get_by_role("button", name="Keep only").click()
    told = "{'what': 'keep', 'cells': [35, 34, 33], 'mlps': True}"  # no more are above 0
    expect(page.get_by_text(f"got {told}")).to_be_visible()


def test_a_large_grid_fits_and_tells_what_was_dragged(fresh: Page, grid: str) -> None:
    page = fresh
    page.goto(grid)
    first = page.get_by_role("checkbox", name="L30H0", exact=True)
    expect(first).to_be_visible(timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    size = first.evaluate("e => getComputedStyle(e).getPropertyValue('--switchboard-cell')")
    assert re.fullmatch(r"[0-9.]+px", size)  # worked out for all, or a resize takes seconds
    first.hover()
    page.mouse.down()
    page.get_by_role("checkbox", name="L31H2", exact=True).hover()
    page.mouse.up()
    expect(page.get_by_text(re.compile(r"got \[990, .*1025\]"))).to_be_visible()


SHAPES = [(3, 3), (6, 8), (12, 12), (24, 16), (30, 9), (32, 32), (80, 64)]
PATCHES = [(6, 8, 4), (24, 16, 40), (32, 32, 1)]
WIDTHS, ZOOMS = (420, 768, 853, 1024, 1280, 1920, 2560), (0.8, 1.0, 1.5, 2.0)
DRAWN = """n => { const hosts = [...document.querySelectorAll("[data-testid=stMain] *")];
  const grid = hosts.find(e => e.shadowRoot?.querySelector(".grid"))?.shadowRoot;
  return grid?.querySelectorAll(".cell").length === n
    && document.querySelector("[data-test-script-state=notRunning]"); }"""
REACHED = """([step, wide]) => { const root = document.querySelector("[data-testid=stMain]");
  const place = e => e.getBoundingClientRect();
  const host = [...root.querySelectorAll("*")].find(e => e.shadowRoot?.querySelector(".grid"));
  const shadow = host.shadowRoot, box = shadow.querySelector(".box");
  const cells = [...shadow.querySelectorAll(".cell")], places = cells.map(place);
  const far = new Set(cells.filter((_, i) => i % step === 0));
  const over = (a, b) => b && a.left < b.right - .5 && b.left < a.right - .5
    && a.top < b.bottom - .5 && b.top < a.bottom - .5;
  const lie = places.findIndex((a, i) => over(a, places[i + 1]) || over(a, places[i + wide]));
  for (let n = Infinity; far.size && far.size < n;) {
    n = far.size;
    [...far][0].scrollIntoView({ block: "start", inline: "start" });
    const seen = place(box);
    for (const cell of far) {
      const { left, top, width, height } = place(cell);
      const x = left + width / 2, y = top + height / 2;
      if (x < Math.max(0, seen.left) || x > Math.min(innerWidth, seen.right)) continue;
      if (y < Math.max(0, seen.top) || y > Math.min(innerHeight, seen.bottom)) continue;
      if (shadow.elementFromPoint(x, y) === cell) far.delete(cell);
    }
  }
  root.scrollTop = 0;
  const got = place([...root.querySelectorAll("[data-testid=stText]")].at(-1));
  const own = place(box), strips = place(shadow.querySelector(".strips"));
  const beside = Math.max(own.right, strips.right) <= got.left + 1;
  const apart = (beside || own.bottom <= got.top + 1) && strips.bottom <= own.top;
  return { far: [...far].slice(0, 9).map(e => e.getAttribute("aria-label")), apart,
    lie, cell: places[0].width,
    wide: document.documentElement.scrollWidth - innerWidth }; }"""
"""Which cells, of each `step` one, cannot be pointed at wherever is scrolled to; the first of all
that lies on its neighbour, in rows so `wide`; whether what is beside is clear of the grid; how wide
a cell is; and how far the page runs past the edge."""
MANY = 2_000
STEP = 7
"""Of a grid of many cells as many are pointed at: some in each row and each column, as each costs a
look at all."""


@pytest.mark.parametrize(("layers", "heads", "tokens"), [*((*s, 0) for s in SHAPES), *PATCHES])
def test_every_cell_is_reached_and_nothing_lies_on_another_at_any_width_and_zoom(
    turned: Page, layers: int, heads: int, tokens: int
) -> None:
    page = turned
    page.evaluate(PUSH, f"?layers={layers}&heads={heads}&tokens={tokens}")
    wide = heads + (not tokens)
    page.wait_for_function(DRAWN, arg=layers * wide)
    step = STEP if layers * wide > MANY else 1
    for size in sorted({round(width / zoom) for width in WIDTHS for zoom in ZOOMS}):
        resize(page, size, max(300, round(size * 0.625)))
        told = page.evaluate(REACHED, [step, wide])
        assert told["far"] == [] and told["apart"] and told["wide"] <= 0, (size, told)
        assert told["lie"] == -1, (size, told)
        assert 10.5 <= told["cell"] <= 34.5, (size, told)
