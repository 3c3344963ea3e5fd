"""What only a browser can show of the Circuits page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Page, expect

import engine
from tests.support.turning import turn

SLOW = 300_000
ONE = engine.Circuit("one", "seq-gpt2", "months", "0.0-2 0.6 4.0 5.1 m0 m2", 6, 8)
TWO = engine.Circuit("two", "seq-gpt2", "numerals", "0.0 0.3 5.1 m0 m5", 6, 8)
QUERY = {"model": "seq-gpt2", "over": "family", "task": "months", "n_pairs": "4"}
QUERY |= {"circuits": engine.write_circuits([ONE, TWO]), "n_controls": "5", "do": "evaluate"}


def open_page(page: Page, address: str, **query: str) -> None:
    turn(page, f"{address}/circuits?{urlencode({**QUERY, **query})}")


def figures(page: Page) -> Any:
    return page.locator(".sb-figure .main-svg")


def test_a_circuit_is_evaluated_switched_in_the_grid_and_seen_on_other_pages(
    page: Page, address: str
) -> None:
    open_page(page, address)
    expect(page.get_by_text("faithfulness")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text(re.compile("5 layer-matched random circuits"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"^5 outlined: .* \(5 of 6\)$"))).to_be_visible()  # heads
    page.get_by_role("checkbox", name="MLPs", exact=True).check()
    page.get_by_role("slider", name="How many are outlined").press("End")
    page.get_by_role("button", name="Switch off", exact=True).click()
    expect(page).to_have_url(re.compile(r"ablations=0\.0\+0\.1\+0\.2\+0\.6\+4\.0\+5\.1\+m0\+m2&"))
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("checkbox", name="L0H6", exact=True)).to_be_checked()
    page.get_by_role("button", name="Ablate it in the grid").click()
    expect(page.get_by_role("checkbox", name="L0H6", exact=True)).not_to_be_checked()
    expect(page).to_have_url(re.compile(r"ablations=0\.0\+0\.1"))
    page.get_by_role("button", name="Keep only it in the grid").click()
    expect(page).to_have_url(re.compile(r"ablations=keep%2Bmlps\+0\.0"))
    expect(page.get_by_text("MLPs not named are off too")).to_be_visible()
    page.get_by_role("link", name="Explore").click()
    expect(page.get_by_label("Sites", exact=True)).to_have_value("0.0 0.1 0.2 0.6 4.0 5.1 m0 m2")


def test_boxes_of_a_mode_come_up_filled_and_a_threshold_prunes_at_once(
    page: Page, address: str
) -> None:
    open_page(page, address)
    expect(page.get_by_text("faithfulness")).to_be_visible(timeout=SLOW)
    page.get_by_text("Edges", exact=True).click()
    threshold = page.get_by_label("Threshold", exact=True)
    expect(threshold).to_have_value("0.02", timeout=SLOW)
    expect(page.get_by_text(re.compile("^layer 5$"))).to_be_visible(timeout=SLOW)
    kept = page.get_by_test_id("stMetric").filter(has_text="Edges kept")
    before = kept.inner_text()
    threshold.fill("0.3")
    threshold.press("Enter")
    expect(kept).not_to_have_text(before)
    expect(page).to_have_url(re.compile(r"edge_threshold=0\.3"))
    page.get_by_text("from senders to receivers").click()
    expect(page.get_by_label("Receivers", exact=True)).to_have_value("logits")
    expect(page.get_by_text(re.compile("^Paths into logits"))).to_be_visible(timeout=SLOW)


def test_from_explore_two_clicks_search_a_circuit_or_compare_two_tasks(
    page: Page, address: str
) -> None:
    page.goto(f"{address}/")
    expect(page.get_by_role("checkbox", name="L0H0", exact=True)).to_be_visible(timeout=SLOW)
    page.get_by_role("link", name="Circuits").click()
    page.get_by_role("button", name="Search", exact=True).click()
    told = re.compile("Walk [0-9]+, least loss first|^Keep it in the library$")
    expect(page.get_by_text(told).first).to_be_visible(timeout=SLOW)
    page.get_by_role("radio", name="Compare").click()
    for name in ("numerals", "months"):
        expect(page.get_by_text(re.compile(f"^only “seq-gpt2, {name}”: "))).to_be_visible()
    page.get_by_role("button", name="seq-gpt2, months").click()
    expect(page.get_by_text("Choose two circuits or more.")).to_be_visible()
    page.get_by_role("button", name="seq-gpt2, number words").click()
    expect(page.get_by_text(re.compile("^only “seq-gpt2, number words”: "))).to_be_visible()
    expect(page).to_have_url(re.compile("compared=seq-gpt2%2C\\+numerals%0A"))


def test_two_circuits_are_compared_and_their_union_is_in_the_link(page: Page, address: str) -> None:
    open_page(page, address, do="compare")
    expect(page.get_by_text("both: 3")).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Add the union to the library").click()
    expect(page).to_have_url(re.compile("%E2%88%AA"))
    with page.context.expect_page() as other:
        page.evaluate("window.open(location.href)")
    expect(other.value.get_by_text("3 of your own")).to_be_visible(timeout=SLOW)
    other.value.close()


def test_a_long_evaluation_goes_on_beside_clicks_and_stops(
    page: Page, address: str, gpt2_small: Path
) -> None:
    open_page(page, address, model=str(gpt2_small), n_controls="200", n_pairs="40")
    stop = page.locator(".st-key-_stop_evaluation").get_by_role("button", name="Stop")
    expect(stop).to_be_visible(timeout=SLOW)
    page.get_by_role("checkbox", name="L3H3", exact=True).click()
    expect(page).to_have_url(re.compile(r"ablations=3\.3"), timeout=SLOW)
    expect(stop).to_be_visible()
    stop.click()
    again = page.locator(".st-key-_again_evaluation").get_by_role("button", name="Begin again")
    expect(again).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("Stopped before there was a result")).to_be_visible()


def test_the_diagram_downloads(page: Page, address: str) -> None:
    open_page(page, address, do="edges")
    expect(figures(page).first).to_be_visible(timeout=SLOW)
    for name, start in (("PNG", b"\x89PNG"), ("SVG", b"<svg"), ("CSV", b"sender,")):
        with page.expect_download() as told:
            page.get_by_role("button", name=name, exact=True).click()
        assert Path(told.value.path()).read_bytes().startswith(start)


def test_the_library_gives_a_circuit_as_json(fresh: Page, address: str) -> None:
    page = fresh  # whether that is open is in no link
    open_page(page, address)
    page.get_by_text(re.compile("Library: 2 of your own")).click(timeout=SLOW)
    page.get_by_role("tab", name="Name and save").click()
    with page.expect_download() as told:
        page.get_by_role("button", name="JSON", exact=True).click()
    assert engine.Circuit.from_json(Path(told.value.path()).read_text("utf-8")) == ONE


def test_a_search_is_watched_stopped_gone_on_with_and_there_again_by_its_link(
    fresh: Page, watched: str
) -> None:
    page = fresh
    short = {"strategy": "greedy", "judged": "same", "n_pairs": "8", "n_controls": "0"}
    open_page(page, watched, do="search", which="right", task="numerals", **short)
    search = page.get_by_role("button", name="Search", exact=True)
    expect(search).to_be_visible(timeout=SLOW)
    page.request.get(f"{watched}/hold")
    search.click()
    expect(page.get_by_text(re.compile("Walk [0-9]+, least loss first"))).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    again = page.get_by_role("button", name="Go on")
    expect(again).to_be_visible()
    page.request.get(f"{watched}/go")
    again.click()
    expect(page.get_by_text("Keep it in the library")).to_be_visible(timeout=SLOW)
    kept = page.get_by_test_id("stMetric").filter(has_text="Nodes kept").inner_text()
    expect(figures(page).first).to_be_visible()
    page.get_by_role("button", name="Keep it in the library").click()
    expect(page).to_have_url(re.compile("numerals%2C\\+greedy"))
    page.goto(page.url)
    expect(page.get_by_test_id("stMetric").filter(has_text="Nodes kept")).to_have_text(
        kept.replace("\n", ""), timeout=SLOW
    )
    expect(page.get_by_role("button", name="Search", exact=True)).to_have_count(0)


def test_the_heads_that_cost_most_in_a_search_become_a_circuit_by_one_click(
    page: Page, address: str
) -> None:
    short = {"strategy": "gradient", "judged": "same", "n_controls": "0"}
    open_page(page, address, do="search", **short)
    page.get_by_role("button", name="Search", exact=True).click(timeout=SLOW)
    expect(page.get_by_text("Keep it in the library")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text(re.compile(r"^5 outlined: .* \(5 of 48\)$"))).to_be_visible()
    page.get_by_role("button", name="Make a circuit").click()
    circuit = page.get_by_role("combobox", name="Circuit")
    expect(circuit).to_have_value(re.compile("^5 by share of the score lost.* · 5 heads, all MLPs"))


def test_a_map_of_sites_is_drawn_no_wider_than_its_place(page: Page, address: str) -> None:
    open_page(page, address, do="compare")
    expect(figures(page).first).to_be_visible(timeout=SLOW)
    for width in (1280, 1000, 700):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            """w => { const figures = [...document.querySelectorAll(".sb-figure")]
              .filter(e => e.clientWidth);
            return innerWidth === w && figures.length
              && figures.every(e => e.scrollWidth <= e.clientWidth); }""",
            arg=width,
        )
