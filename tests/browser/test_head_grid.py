"""The head grid by itself: a large model's size, tints, and what it tells Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from benchmarks.driving import serving, wait_until_up


@pytest.fixture(scope="module")
def grid() -> Iterator[str]:
    with serving(Path(__file__).parents[1] / "support" / "big_grid.py") as address:
        wait_until_up(address)
        yield address


def tint(page: Page, name: str) -> tuple[int, int, int, float]:
    style = page.get_by_role("checkbox", name=name, exact=True).evaluate(
        "e => e.style.getPropertyValue('--tint')"
    )
    found = re.fullmatch(r"rgba\((\d+),(\d+),(\d+),([\d.]+)\)", style)
    assert found, style
    return int(found[1]), int(found[2]), int(found[3]), float(found[4])


def test_a_value_tints_its_cell_by_sign_and_size(page: Page, grid: str) -> None:
    page.goto(grid)
    expect(page.get_by_role("checkbox", name="L0H0", exact=True)).to_be_visible(timeout=60_000)
    most, least = tint(page, "L0H0"), tint(page, "L0H31")  # −1 and −1/32
    assert most[:3] == least[:3] and most[3] > least[3]
    assert tint(page, "L1H31")[2] > tint(page, "L1H31")[0]  # +1: blue
    assert most[0] > most[2]  # −1: red
    bare = page.get_by_role("checkbox", name="L0H1", exact=True)
    assert bare.evaluate("e => e.style.getPropertyValue('--tint')") == ""
    page.get_by_role("checkbox", name="L0H0", exact=True).hover()
    expect(page.get_by_text("L0H0 · on · effect −1.000 (1 of 1056)")).to_be_visible()


def test_a_large_grid_fits_and_tells_what_was_dragged(page: Page, grid: str) -> None:
    page.goto(grid)
    first = page.get_by_role("checkbox", name="L30H0", exact=True)
    expect(first).to_be_visible(timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    first.hover()
    page.mouse.down()
    page.get_by_role("checkbox", name="L31H2", exact=True).hover()
    page.mouse.up()
    expect(page.get_by_text(re.compile(r"got \[990, .*1025\]"))).to_be_visible()
