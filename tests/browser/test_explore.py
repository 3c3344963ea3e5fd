"""What only a browser can show of the Explore page."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

import engine
from benchmarks.driving import serving, wait_until_up
from tests.support.turning import turn

SLOW = 180_000
QUERY = "?model=seq-gpt2&prompt=1+2+3+4&answer=+5&distractor=+4&corrupted=8+1+6+3"


def open_page(page: Page, address: str, query: str = QUERY) -> None:
    turn(page, f"{address}/{query}")
    expect(page.get_by_role("table", name="Clean and ablated")).to_be_visible(timeout=SLOW)


def cell(page: Page, name: str) -> Any:
    return page.get_by_role("checkbox", name=name, exact=True)


def ablations(page: Page) -> str:
    return parse_qs(urlsplit(page.url).query).get("ablations", [""])[0]


def off(page: Page, *names: str) -> None:
    for name in names:
        expect(cell(page, name)).to_have_attribute("aria-checked", "false")


def on(page: Page, *names: str) -> None:
    for name in names:
        expect(cell(page, name)).to_have_attribute("aria-checked", "true")


def test_a_click_switches_a_head_off_and_the_ranking_follows(page: Page, address: str) -> None:
    open_page(page, address, "")  # as one who comes without a link
    ablated = page.get_by_role("table", name="Clean and ablated")
    before = ablated.inner_text()
    cell(page, "L0H3").click()
    off(page, "L0H3")
    expect(page.get_by_text("1 site changed")).to_be_visible()
    expect(page).to_have_url(re.compile("ablations=0.3"))
    assert ablated.inner_text() != before
    cell(page, "L0H3").click()
    on(page, "L0H3")
    expect(page.get_by_text("nothing is switched off")).to_be_visible()
    assert ablated.inner_text() == before


def test_switching_heads_of_the_first_layer_off_costs_the_answer_its_place(
    page: Page, address: str
) -> None:
    open_page(page, address)
    page.get_by_role("button", name="Switch layer 0").click()
    expect(page.get_by_text("9 sites changed")).to_be_visible()
    for name in ("MLP0", "L0H4", "L0H5", "L0H6", "L0H7"):
        cell(page, name).click()
    expect(page.get_by_text("4 sites changed")).to_be_visible()
    expect(page.get_by_role("img", name="worse for the answer")).not_to_have_count(0)
    first = page.get_by_role("table", name="Clean and ablated").get_by_role("row").nth(1)
    clean, ablated = (page.get_by_role("columnheader", name=n) for n in ("Clean", "Ablated"))
    expect(first).to_contain_text("␣5")
    expect(clean).to_have_attribute("aria-sort", "ascending")
    ablated.get_by_role("button").click()
    expect(first).to_contain_text("13")
    expect(clean).to_have_attribute("aria-sort", "none")
    expect(ablated).to_have_attribute("aria-sort", "ascending")
    change = page.get_by_role("columnheader", name="Change")
    change.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(change).to_have_attribute("aria-sort", "descending")
    expect(first).to_contain_text("␣5")
    cell(page, "MLP0").click()
    expect(page.get_by_text("5 sites changed")).to_be_visible()
    expect(change).to_have_attribute("aria-sort", "descending")  # a click leaves it sorted


def test_a_drag_switches_every_cell_it_crosses(page: Page, address: str) -> None:
    open_page(page, address)
    cell(page, "L1H0").hover()
    page.mouse.down()
    cell(page, "L1H4").hover()
    page.mouse.up()
    off(page, *(f"L1H{h}" for h in range(5)))
    expect(page.get_by_text("5 sites changed")).to_be_visible()


def test_rows_columns_mlps_and_everything_have_names_to_click(page: Page, address: str) -> None:
    open_page(page, address)
    page.get_by_role("button", name="Switch head 2 of every layer").click()
    off(page, *(f"L{i}H2" for i in range(6)))
    page.get_by_role("button", name="Switch every MLP").click()
    off(page, "MLP0", "MLP5")
    page.get_by_role("button", name="Switch everything").click()
    expect(page.get_by_text("54 sites changed")).to_be_visible()
    page.get_by_role("button", name="Switch everything").click()
    expect(page.get_by_text("nothing is switched off")).to_be_visible()


def test_the_keyboard_reaches_every_cell(page: Page, address: str) -> None:
    open_page(page, address)
    cell(page, "L0H0").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    off(page, "L1H1")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    off(page, "MLP1")
    expect(page.get_by_text("2 sites changed")).to_be_visible()


def test_the_list_of_what_is_off_undoes_removes_and_clears(page: Page, address: str) -> None:
    open_page(page, address, "?model=seq-gpt2&prompt=1+2+3+4&answer=+5&ablations=0.1+m2+n3.14")
    off(page, "L0H1", "MLP2")
    page.get_by_role("button", name="Remove m2").click()
    on(page, "MLP2")
    expect(page.get_by_text("2 sites changed")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    off(page, "MLP2")
    page.get_by_role("button", name="Clear").click()
    on(page, "L0H1", "MLP2")
    expect(page.get_by_text("nothing is switched off")).to_be_visible()


def test_a_deep_link_on_a_cold_server_enters_through_the_app(fresh: Page) -> None:
    with serving() as cold:
        wait_until_up(cold)
        fresh.goto(f"{cold}/explore?model=seq-gpt2&prompt=1+2+3+4&answer=+5&ablations=0.1")
        expect(fresh.get_by_role("table", name="Clean and ablated")).to_be_visible(timeout=SLOW)
        off(fresh, "L0H1")


def test_what_stands_around_the_grid_follows_a_click(fresh: Page, address: str) -> None:
    page = fresh  # whether that is open is in no link
    open_page(page, address)
    page.get_by_text("Link, JSON, Python").click()
    link = page.get_by_test_id("stSidebar").get_by_test_id("stCode").first
    expect(link).to_contain_text("prompt=1+2+3+4")
    cell(page, "L0H3").click()
    expect(link).to_contain_text("ablations=0.3")
    sites = page.get_by_role("textbox", name="Sites", exact=True)
    sites.fill("nonsense")
    sites.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("nonsense")
    sites.fill("0.2")
    sites.press("Enter")
    expect(page.get_by_role("alert")).to_have_count(0)
    off(page, "L0H2")
    on(page, "L0H3")
    expect(link).to_contain_text("ablations=0.2")


def test_rapid_clicks_lose_nothing(page: Page, address: str) -> None:
    open_page(page, address)
    names = [f"L{i % 6}H{i // 6}" for i in range(24)]
    for name in names:
        cell(page, name).click(delay=0)
    expect(page.get_by_text("24 sites changed")).to_be_visible(timeout=SLOW)
    off(page, *names)


def test_reload_a_fresh_tab_and_back_follow_the_address(page: Page, address: str) -> None:
    open_page(page, address)
    cell(page, "L0H1").click()
    expect(page.get_by_text("1 site changed")).to_be_visible()
    cell(page, "L0H2").click()
    expect(page.get_by_text("2 sites changed")).to_be_visible()
    page.reload()
    off(page, "L0H1", "L0H2")
    other = page.context.new_page()
    open_page(other, address, page.url.removeprefix(f"{address}/"))
    off(other, "L0H1", "L0H2")
    other.close()


def test_what_the_widgets_say_outlives_turning_pages(page: Page, address: str) -> None:
    open_page(page, address, "?model=seq-gpt2&prompt=1+2+3&ablations=keep%2Bmlps+0.1&at=prompt"
              "&method=scale(0.25)&positions=0-1&heads=1.1&show=twins&by=entropy")  # fmt: skip
    for name in ("Attention", "Logit lens", "Tokenizer", "Explore", "Attention"):
        page.get_by_role("link", name=name).click()
        expect(page.get_by_role("link", name=name)).to_have_attribute("aria-current", "page")
        own = {"Attention": "Heads to look at", "Tokenizer": ""}.get(name, "Sites")
        boxes = {"Prompt": "1 2 3", "Positions": "0-1", "Sites": "0.1", "Heads to look at": "1.1"}
        for label in ("Prompt", "Positions", *([own, "Sites"] if own else [])):
            box = page.get_by_role("textbox", name=label, exact=True)
            expect(box).to_have_value(boxes[label], timeout=SLOW)
        expect(page.get_by_role("spinbutton", name="By")).to_have_value("0.25")
        expect(page.get_by_role("checkbox", name="MLPs not named are off too")).to_be_checked()
        for part in ("ablations=keep", "method=scale", "positions=0-1", "by=entropy", "show=twins"):
            expect(page).to_have_url(re.compile(part))
        if name == "Tokenizer":
            expect(page.get_by_role("radio", name="Twins")).to_be_checked(timeout=SLOW)
    prompt = page.get_by_role("textbox", name="Prompt", exact=True)
    prompt.fill("8 6 3 2")
    for name in ("Attention", "Tokenizer"):  # the page that is there already, and another
        page.get_by_role("link", name=name).click(delay=80)
        expect(page).to_have_url(re.compile(r"prompt=8\+6\+3\+2"))
    expect(page.get_by_role("radio", name="Twins")).to_be_checked(timeout=SLOW)
    expect(prompt).to_have_value("8 6 3 2")
    expect(page).to_have_url(re.compile(r"prompt=8\+6\+3\+2"))


def test_back_undoes_a_click(page: Page, address: str) -> None:
    open_page(page, address)
    cell(page, "L0H1").click()
    expect(page.get_by_text("1 site changed")).to_be_visible()
    cell(page, "L0H2").click()
    expect(page.get_by_text("2 sites changed")).to_be_visible()
    expect(page).to_have_url(re.compile(r"ablations=0\.1\+0\.2"))
    page.go_back()
    on(page, "L0H2")
    off(page, "L0H1")
    expect(page.get_by_text("1 site changed")).to_be_visible()


def turn_to(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()
    is_at(page, name)


def is_at(page: Page, name: str) -> None:
    link = page.get_by_role("link", name=name, exact=True)
    expect(link).to_have_attribute("aria-current", "page")
    expect(page).to_have_url(re.compile(rf"/{name.lower()}\?model="))


def test_back_and_forward_go_from_page_to_page_a_step_each(page: Page, address: str) -> None:
    page.goto(f"{address}/attention?prompt=1+2+3")
    is_at(page, "Attention")
    turn_to(page, "Sweep")
    cell(page, "L0H1").click()
    expect(page).to_have_url(re.compile(r"ablations=0\.1"))
    turn_to(page, "Circuits")
    page.go_back()
    is_at(page, "Sweep")
    expect(page).to_have_url(re.compile(r"ablations=0\.1"))
    page.go_back()
    on(page, "L0H1")
    page.go_back()
    is_at(page, "Attention")
    for name in ("Sweep", "Sweep", "Circuits"):
        page.go_forward()
        is_at(page, name)
    expect(page).to_have_url(re.compile(r"ablations=0\.1"))


def test_what_only_some_pages_ask_outlives_pages_that_do_not(page: Page, address: str) -> None:
    prompt = page.get_by_role("radio", name="The prompt above")
    family = page.get_by_role("radio", name="A task family")
    pairs = page.get_by_role("textbox", name="Pairs", exact=True)
    page.goto(f"{address}/attention?prompt=1+2+3")
    turn_to(page, "Sweep")
    family.click()
    pairs.fill("9")
    pairs.press("Enter")
    expect(page).to_have_url(re.compile("over=family&n_pairs=9"))
    prompt.click()
    expect(pairs).to_have_count(0)
    family.click()
    expect(pairs).to_have_value("9")
    turn_to(page, "Circuits")
    expect(family).to_be_checked()
    expect(pairs).to_have_value("9")
    turn_to(page, "Attention")
    turn_to(page, "Sweep")
    expect(pairs).to_have_value("9")
    page.evaluate("""() => { history.pushState({}, "", "/attention?model=seq-gpt2&prompt=1+2");
      dispatchEvent(new PopStateEvent("popstate", { state: {} })); }""")
    is_at(page, "Attention")
    page.go_back()
    is_at(page, "Sweep")
    expect(pairs).to_have_value("9")
    page.get_by_role("button", name="Make a circuit").click()
    is_at(page, "Circuits")
    expect(family).to_be_checked()
    expect(pairs).to_have_value("9")


def test_clicked_tokens_are_where_the_ablation_acts(page: Page, address: str) -> None:
    open_page(page, address, "?model=seq-gpt2&prompt=1+2+3+4&answer=+5&ablations=a0")
    token = page.get_by_role("button", name="Token 1:")
    token.click()
    expect(token).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("textbox", name="Positions")).to_have_value("1")
    page.get_by_role("button", name="Token 3:").click()
    expect(page.get_by_role("textbox", name="Positions")).to_have_value("1,3")
    token.hover()
    expect(page.get_by_text("position 1 · id")).to_be_visible()


def test_markup_is_shown_and_never_run(page: Page, address: str) -> None:
    text = "%3Cscript%3Ewindow.ran%3D1%3C%2Fscript%3E%3Cimg+src%3Dx+onerror%3Dwindow.ran%3D1%3E"
    open_page(page, address, f"?model=seq-gpt2&prompt={text}&answer={text}&ablations=0.1")
    page.wait_for_timeout(500)
    assert page.evaluate("window.ran") is None


def test_the_rankings_download_as_drawings_and_as_the_engines_numbers(
    page: Page, address: str
) -> None:
    e = engine.Experiment(prompt="1 2 3 4", answer=" 5", distractor=" 4", ablations="a0 m1")
    open_page(page, address, e.to_url())
    got = {}
    for format_ in ("PNG", "SVG", "CSV"):
        with page.expect_download() as told:
            page.get_by_role("button", name=format_, exact=True).click()
        assert told.value.suggested_filename == f"next-token.{format_.lower()}"
        got[format_] = Path(told.value.path()).read_bytes()
    assert got["PNG"].startswith(b"\x89PNG") and len(got["PNG"]) > 20_000
    drawn = got["SVG"].decode()
    assert drawn.startswith("<svg") and drawn.endswith("</svg>")
    for text in ("seq-gpt2 after “1 2 3 4”", "Ablated: a0 m1 (zero)", "Change", "KL divergence",
                 "9 sites changed", "answer ␣5"):  # fmt: skip
        assert f">{text}</text>" in drawn
    rows = list(csv.DictReader(got["CSV"].decode().splitlines()))
    found = engine.next_token(e, k=10, at="answer")
    assert {"answer", "distractor"} <= {row["mark"] for row in rows}
    for row, meant in zip(rows, found.table(), strict=True):
        for name, value in meant.items():
            if isinstance(value, str):
                assert row[name] == value
            else:
                assert float(row[name]) == pytest.approx(value, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    "query", ["?model=/no/such/place", "?prompt=1&ablations=13.40", "?prompt=a&prompt=b"]
)
def test_a_broken_link_is_told_and_the_page_stands(page: Page, address: str, query: str) -> None:
    turn(page, f"{address}/{query}")
    expect(page.get_by_role("alert").first).to_be_visible(timeout=SLOW)
    expect(page.get_by_label("Prompt", exact=True)).to_be_visible()


def test_what_was_wrong_with_a_link_is_told_until_a_click(page: Page, address: str) -> None:
    turn(page, f"{address}/?model=seq-gpt2&prompt=1+2+3&method=nonsense")
    told = page.get_by_text("The link's “method” is left out")
    expect(told).to_be_visible(timeout=SLOW)
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("1 2 3")
    cell(page, "L0H1").click()
    off(page, "L0H1")
    expect(told).to_have_count(0)
    expect(page.get_by_text("1 site changed")).to_be_visible()


def test_a_change_that_cannot_be_made_leaves_the_clean_run_and_goes_by_a_click(
    page: Page, address: str
) -> None:
    turn(page, f"{address}/?model=seq-gpt2&prompt=1+2+3+4&answer=+5&ablations=0.1&method=resample")
    told = page.get_by_text("resample takes its values from the corrupted prompt")
    expect(told).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("table", name="Clean and ablated")).to_contain_text("␣5")
    page.get_by_role("button", name="Make a corrupted prompt that fits").click()
    expect(page.get_by_text("1 site changed")).to_be_visible()
    expect(told).to_have_count(0)
    expect(page.get_by_role("textbox", name="Corrupted prompt")).not_to_have_value("")
    expect(page).to_have_url(re.compile("corrupted="))


def test_the_llama_model_decides_the_answer_after_its_bare_space(page: Page, address: str) -> None:
    open_page(page, address, "?model=seq-llama&prompt=1+2+3+4&answer=+5&distractor=+4")
    expect(page.get_by_text("after ▁")).to_be_visible()
    expect(
        page.get_by_role("table", name="Clean and ablated").get_by_role("row").nth(1)
    ).to_contain_text("5")
