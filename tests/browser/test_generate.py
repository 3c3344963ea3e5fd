"""What only a browser can show of the Generate page: streaming, stopping, branching, leaving."""

from __future__ import annotations

import re
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.turning import turn

SLOW = 180_000
QUERY = "?model=seq-gpt2&prompt=1+2+3+4&answer=+5&distractor=+4"


def read(address: str) -> tuple[int, int]:
    """How many tokens the worker has read, and had read when a generation was called off."""
    with urllib.request.urlopen(f"{address}/read", timeout=20) as answer:
        now, then = map(int, answer.read().split())
        return now, then


def tokens(page: Page, run: str = "Clean") -> Any:
    return page.get_by_role("list", name=f"{run} text").locator(".token")


def open_page(page: Page, address: str, query: str = QUERY) -> None:
    turn(page, f"{address}/generate{query}")
    expect(tokens(page).first).to_be_visible(timeout=SLOW)


def test_both_texts_come_token_by_token_and_stop_within_one(fresh: Page, watched: str) -> None:
    page = fresh
    open_page(page, watched, f"{QUERY}&ablations=0.1+0.2&new_tokens=120")
    seen = [tokens(page).count()]
    while (seen[-1] < 16 or len(set(seen)) < 3) and len(seen) < 400:
        page.wait_for_timeout(60)
        seen.append(tokens(page).count())
    assert seen == sorted(seen) and len(set(seen)) >= 3 and seen[-1] < 110
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    expect(page.get_by_text("Stopped.")).to_be_visible()
    page.wait_for_timeout(1_000)
    now, then = read(watched)
    assert now - then <= 1
    stopped = tokens(page).count()
    assert stopped == tokens(page, "Ablated").count() < 120
    page.get_by_role("button", name="Go on").click()
    expect(tokens(page).nth(stopped + 2)).to_be_visible()
    page.get_by_role("button", name="Stop").click()


def test_a_closed_tab_ends_the_work(fresh: Page, watched: str) -> None:
    open_page(fresh, watched, f"{QUERY}&new_tokens=120")
    expect(tokens(fresh).nth(4)).to_be_visible()
    fresh.close()
    time.sleep(1.5)
    before = read(watched)
    assert before[0] - before[1] <= 1 and before[0] > 0
    time.sleep(1)
    assert read(watched) == before


def test_a_head_switched_while_the_text_comes_acts_from_there_on(fresh: Page, watched: str) -> None:
    page = fresh
    open_page(page, watched, f"{QUERY}&new_tokens=60&acts=here")
    expect(tokens(page).nth(3)).to_be_visible()
    page.get_by_role("button", name="Switch layer 0").click()
    expect(page).to_have_url(re.compile(r"earlier=until"))
    expect(
        page.get_by_role("listitem", name=re.compile("Here the texts part")).first
    ).to_be_visible()
    at = int(re.findall(r"until\+(\d+)", page.url)[0])
    assert at >= 3
    same = [tokens(page, run).all_inner_texts()[:at] for run in ("Clean", "Ablated")]
    assert same[0] == same[1]
    page.get_by_role("button", name="Stop").click()


def test_a_new_prompt_takes_the_place_of_the_old(fresh: Page, watched: str) -> None:
    page = fresh
    open_page(page, watched, f"{QUERY}&new_tokens=120")
    box = page.get_by_role("textbox", name="Prompt", exact=True)
    box.fill("A B C D")
    box.press("Control+Enter")
    expect(tokens(page).first).to_have_text("␣E")
    assert "␣5" not in tokens(page).all_inner_texts()


def test_every_step_tells_its_best_tokens_and_any_of_them_branches(
    page: Page, address: str
) -> None:
    open_page(page, address, f"{QUERY}&ablations=0.1+0.2")
    expect(tokens(page).nth(19)).to_be_visible()
    tokens(page).nth(2).hover()
    best = page.get_by_role("table", name="Clean, step 2")
    expect(best.get_by_role("row").first).to_contain_text("␣7")
    expect(page.get_by_role("table", name="Ablated, step 2").get_by_role("row")).to_have_count(10)
    tokens(page).nth(2).click()
    expect(page).to_have_url(re.compile("step=2"))
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("table", name="Clean, step 3")).to_be_visible()
    page.mouse.move(5, 5)
    page.get_by_role("button", name="let go").click()
    tokens(page).nth(2).click()
    chosen = page.get_by_role("table", name="Clean, step 2").get_by_role("button").nth(1)
    text = chosen.inner_text()
    page.mouse.move(5, 5)
    chosen.click()
    expect(page).to_have_url(re.compile("prefix="))
    expect(tokens(page).nth(2)).to_have_text(text)
    expect(tokens(page, "Ablated").nth(2)).to_have_text(text)
    expect(tokens(page).nth(22)).to_be_visible()
    assert tokens(page).locator("xpath=self::*[contains(@class,'forced')]").count() == 3


def test_everything_downloads(page: Page, address: str) -> None:
    open_page(page, address, f"{QUERY}&ablations=0.1+0.2")
    expect(page.locator(".sb-figure .scatterlayer").first).to_be_visible(timeout=SLOW)
    starts = [b"\x89PNG", b"<svg", b"\x89PNG", b"<svg", b"step,clean_entropy", b"step,run,kind"]
    names = [("PNG", 0), ("SVG", 0), ("PNG", 1), ("SVG", 1), ("CSV", 0), ("CSV", 1)]
    for (name, nth), start in zip(names, starts, strict=True):
        with page.expect_download() as told:
            page.get_by_role("button", name=re.compile(f"{name}$")).nth(nth).click()
        content = Path(told.value.path()).read_bytes()
        assert content.startswith(start) and len(content) > 250, name


@pytest.mark.parametrize("view", ["text", "many", "answers"])
def test_nothing_stands_past_the_edge(page: Page, address: str, view: str) -> None:
    turn(page, f"{address}/generate{QUERY}&ablations=0.1&generate={view}&controls=3")
    expect(page.get_by_text("Copy as Python").first).to_be_visible(timeout=SLOW)
    expect(page.locator(".sb-figure svg").first).to_be_visible()
    for width in (1280, 1920):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_function(
            """w => innerWidth === w && [...document.querySelectorAll("[data-testid=stMain]")]
              .every(e => e.scrollWidth <= e.clientWidth)""",
            arg=width,
        )
        for box in page.get_by_role("button").all():
            place = box.bounding_box()
            assert place is None or place["x"] + place["width"] <= width


def test_the_boxes_of_a_view_keep_what_they_held_while_others_were_shown(
    page: Page, address: str
) -> None:
    open_page(page, address, f"{QUERY}&temperature=0.5&seed=7")
    main = page.get_by_test_id("stMain")
    for name in ("Whole answers", "Many prompts", "Whole answers", "Text"):
        main.get_by_text(name, exact=True).first.click()
        expect(main.get_by_role("radio", name=name)).to_be_checked()
        shown = main.get_by_text("Copy as Python").first
        expect(shown).to_be_visible()
    for box, held in (("New tokens", "20"), ("Temperature", "0.5"), ("Seed", "7")):
        expect(page.get_by_role("textbox", name=box)).to_have_value(held)
    expect(tokens(page).nth(19)).to_be_visible()


def test_a_view_left_behind_goes_at_once_and_not_when_the_next_is_done(
    page: Page, address: str
) -> None:
    open_page(page, address, f"{QUERY}&ablations=0.1&controls=50&n_prompts=100&matched=anywhere")
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    page.get_by_test_id("stMain").get_by_text("Many prompts", exact=True).first.click()
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_be_visible()
    expect(page.get_by_role("button", name="Go on")).to_have_count(0)
    expect(tokens(page)).to_have_count(0)
    expect(page.locator(".sb-figure")).to_have_count(0)
    some_done = page.get_by_text(re.compile("^[0-9]+%, [1-9][0-9]* of 100 prompts"))
    expect(some_done).to_be_visible()
    stop.click()
    told = page.get_by_text("prompts are done").inner_text()
    page.get_by_role("button", name="Go on").click()
    share = re.match("[0-9]+", some_done.inner_text())
    assert share and int(share[0]) >= int(told.split()[1]), "not of the rest alone"


def test_markup_stays_text(page: Page, address: str) -> None:
    turn(page, f"{address}/generate?model=seq-gpt2&prompt=%3Cb%3E1%3C/b%3E+%3Cimg+src%3Dx+")
    expect(tokens(page).first).to_be_visible(timeout=SLOW)
    assert page.locator("img[src=x]").count() == 0
