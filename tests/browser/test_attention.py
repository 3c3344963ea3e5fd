"""What only a browser can show of the Attention page."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, expect

import engine
from benchmarks.driving import serving, wait_until_up
from tests.support.turning import turn

SLOW = 180_000
QUERY = "?model=seq-gpt2&prompt=1+2+3+1+2+3"
DRAWN = ".sb-circuitsvis canvas"


def open_page(page: Page, address: str, query: str = QUERY) -> None:
    turn(page, f"{address}/attention{query}")
    expect(page.locator(DRAWN).first).to_be_visible(timeout=SLOW)


def thumbnail(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=re.compile(rf"^{name}(, off)?$"))


def painted(page: Page, selector: str) -> bool:
    """Whether a canvas has anything on it."""
    return page.locator(selector).first.evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)"
    )


def test_a_deep_link_to_a_cold_server_draws_and_asks_nothing_of_others(fresh: Page) -> None:
    with serving() as cold:
        wait_until_up(cold)
        open_page(fresh, cold)
        expect(fresh.get_by_text("L0H0 Zoomed")).to_be_visible()
        fresh.wait_for_timeout(500)
        assert painted(fresh, DRAWN) and painted(fresh, "canvas.all")


def test_a_click_looks_closer_and_shift_click_switches_off(page: Page, address: str) -> None:
    open_page(page, address)
    thumbnail(page, "L2H3").click()
    expect(thumbnail(page, "L2H3")).to_have_attribute("aria-pressed", "true")
    expect(page).to_have_url(re.compile(r"heads=2\.3\+0\.0"))
    expect(page.get_by_text("L2H3 Zoomed")).to_be_visible()
    thumbnail(page, "L1H1").click(modifiers=["Shift"])
    expect(page).to_have_url(re.compile(r"ablations=1\.1"))
    expect(page.get_by_role("button", name="L1H1, off")).to_be_visible()
    page.get_by_role("radio", name="Click to switch off").click()
    thumbnail(page, "L1H1").click()
    thumbnail(page, "L0H4").click()
    expect(page).to_have_url(re.compile(r"ablations=0\.4"))
    expect(page.get_by_role("textbox", name="Sites")).to_have_value("0.4")
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_role("button", name="L0H4", exact=True)).to_be_visible()


def test_the_bar_outlines_the_heads_of_the_highest_score_and_rows_do_the_same(
    page: Page, address: str
) -> None:
    open_page(page, address)
    scores = engine.attention_overview(
        engine.Experiment("seq-gpt2", "1 2 3 1 2 3")
    ).clean_scores.induction
    first = sorted(np.ndindex(*scores.shape), key=lambda at: -scores[at])[:5]
    page.get_by_role("combobox", name="Score", exact=True).click()
    page.get_by_role("option", name="induction").click()
    page.get_by_role("button", name="5", exact=True).click()
    for rank, (layer, head) in enumerate(first, 1):
        expect(thumbnail(page, f"L{layer}H{head}")).to_have_attribute(
            "aria-description", f"{scores[layer, head]:.2f} ({rank} of 48)"
        )
    page.get_by_role("button", name="Switch off", exact=True).click()
    named = engine.print_sites(sorted(engine.Head(*map(int, at)) for at in first)).replace(" ", "+")
    expect(page).to_have_url(re.compile(rf"ablations={re.escape(named)}&"))
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("combobox", name="Which come first").select_option("least")
    page.get_by_text(re.compile("^first token [0-9]+$")).click()
    resting = engine.head_roles(
        engine.attention_overview(engine.Experiment("seq-gpt2", "1 2 3 1 2 3")).clean_scores
    )["first_token"]
    expect(page.get_by_text(re.compile(f"^{len(resting)} outlined: "))).to_be_visible()
    named = engine.print_sites(resting)
    expect(page.get_by_role("textbox", name="Heads to look at")).to_have_value(named)
    page.locator("[data-testid=stDataFrame]").click(position={"x": 18, "y": 35 + 18})
    expect(page.get_by_text(re.compile("^1 outlined: L0H0 "))).to_be_visible()
    page.get_by_role("button", name="Keep only", exact=True).click()
    expect(page).to_have_url(re.compile(r"ablations=keep\+0\.0&"))
    expect(page.get_by_role("button", name="L0H1, off", exact=True)).to_be_visible()


def test_the_keyboard_reaches_and_switches_heads(page: Page, address: str) -> None:
    open_page(page, address)
    thumbnail(page, "L0H0").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("L1H1 · on · clean: previous token")).to_be_visible()
    page.keyboard.press("x")
    expect(page).to_have_url(re.compile(r"ablations=1\.1"))


def test_markup_is_shown_and_never_run(page: Page, address: str) -> None:
    text = "%3Cscript%3Ewindow.ran%3D1%3C%2Fscript%3E%3Cimg+src%3Dx+onerror%3Dwindow.ran%3D1%3E"
    open_page(page, address, f"?model=seq-gpt2&prompt={text}&ablations=0.1")
    page.wait_for_timeout(500)
    assert page.evaluate("window.ran") is None and page.locator("img[src=x]").count() == 0


def test_every_view_downloads(page: Page, address: str) -> None:
    open_page(page, address)
    starts = {"PNG": b"\x89PNG", "SVG": b"<svg", "CSV": b"layer,head,"}
    for view, (format_, start) in product((".grid", ".sb-circuitsvis"), starts.items()):
        every = view == ".grid"
        buttons = page.locator(f":has({view}) ~ .sb-downloads, {view} ~ .sb-downloads")
        with page.expect_download() as told:
            buttons.get_by_role("button", name=format_, exact=True).click()
        content = Path(told.value.path()).read_bytes()
        assert content.startswith(start) and len(content) > 500
        if format_ == "SVG":
            assert (b">H7<" if every else b">L0H0<") in content
        if format_ == "CSV":
            assert len(content.splitlines()) == 1 + (6 * 8 if every else 6 * 7 / 2)
