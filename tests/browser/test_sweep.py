"""What only a browser can show of the Sweep page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

import engine
from tests.support.slow_line import SLOW_LINE, Polls
from tests.support.turning import turn

SLOW = 180_000
QUERY = "?model=seq-gpt2&over=family&task=months&n_pairs=6&method=mean_by_position"
PAIRS = engine.task("months", "seq-gpt2", 6).pairs
MAP = ".sb-figure .heatmaplayer"


def open_page(page: Page, address: str, query: str = QUERY) -> None:
    turn(page, f"{address}/sweep{query}")
    expect(page.locator(MAP)).to_be_visible(timeout=SLOW)


def upward(first: int) -> str:
    """Thirty numbers from one on, as a link has them: what is asked of others is another sweep."""
    return "+".join(map(str, range(first, first + 30)))


def cell(page: Page, name: str) -> Any:
    return page.get_by_role("checkbox", name=name, exact=True)


def test_the_map_is_the_selector_and_tells_what_all_that_is_off_does(
    page: Page, address: str
) -> None:
    open_page(page, address)
    cell(page, "L0H0").hover()
    expect(page.get_by_text(re.compile(r"L0H0 · on · logit difference.* of 48\)"))).to_be_visible()
    cell(page, "L0H0").click()
    cell(page, "MLP2").click()
    expect(page).to_have_url(re.compile(r"ablations=0\.0\+m2"))
    expect(page.get_by_text("All that is off, together")).to_be_visible()
    expect(page.locator(MAP)).to_be_visible()


def test_the_first_heads_are_off_kept_or_a_circuit_by_one_click_and_rows_do_the_same(
    page: Page, address: str
) -> None:
    open_page(page, address)
    result = engine.sweep(engine.Experiment("seq-gpt2", method="mean_by_position"), PAIRS)
    change = result.grid()
    heads = [site for site in change.sites if isinstance(site, engine.Head)]
    first = sorted(heads, key=lambda head: -abs(change[head]))[:5]
    named = re.escape("+".join(map(str, sorted(first))))
    page.get_by_role("button", name="Switch off", exact=True).click()
    expect(page).to_have_url(re.compile(rf"ablations={named}&"))
    best = cell(page, f"L{first[0].layer}H{first[0].head}")
    expect(best).to_have_attribute("aria-description", re.compile(r"^−.*\(1 of 48\)$"))
    expect(best).not_to_be_checked()
    page.get_by_role("button", name="Keep only", exact=True).click()
    expect(page).to_have_url(re.compile(rf"ablations=keep\+{named}&"))
    expect(page.get_by_text("MLPs not named are off too")).to_be_visible()
    expect(page.locator("[data-test-script-state=notRunning]")).to_be_visible()
    page.get_by_role("button", name="Undo").click(delay=80)
    expect(page).to_have_url(re.compile(rf"ablations={named}&"))
    expect(page.get_by_text("MLPs not named are off too")).to_have_count(0)
    table = page.locator(".st-key-swept_sites [data-testid=stDataFrame]")
    for row in (1, 2):  # of all sites, those that change most: MLP0 and a head
        table.click(position={"x": 18, "y": 35 * row + 18})
        expect(page.get_by_text(re.compile(f"^{row} outlined: .*MLP0 "))).to_be_visible()
    page.get_by_role("button", name="Make a circuit").click()
    expect(page).to_have_url(re.compile("/circuits.*do=evaluate.*circuit=2\\+by"), timeout=SLOW)
    circuit = page.get_by_role("combobox", name="Circuit")
    expect(circuit).to_have_value(re.compile("^2 by logit difference.* · 1 head, 1 MLP"))


def test_another_metric_is_shown_at_once_and_stays_in_the_link_and_another_theme_is_followed(
    page: Page, address: str
) -> None:
    open_page(page, address, QUERY + "&metric=kl")
    expect(page.get_by_text("Clean divergence, nats")).to_be_visible()
    expect(page).to_have_url(re.compile("metric=kl"))
    written = page.locator(".sb-figure .xtick text").first
    expect(written).to_have_css("fill", "rgb(31, 35, 51)")
    page.emulate_media(color_scheme="dark")
    expect(written).to_have_css("fill", "rgb(230, 232, 242)")


def test_a_long_sweep_shows_estimates_stops_says_how_much_is_exact_and_goes_on(
    page: Page, address: str, gpt2_small: Path
) -> None:
    asked = f"prompt={upward(1)}&answer=+31&distractor=+30&per=position"
    turn(page, f"{address}/sweep?model={gpt2_small}&{asked}")
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_be_visible(timeout=SLOW)
    expect(page.get_by_text(re.compile(r"^\d+%"))).to_be_visible(timeout=SLOW)
    cell(page, "L3H3").click()
    expect(page).to_have_url(re.compile(r"ablations=3\.3"), timeout=SLOW)
    expect(stop).to_be_visible()
    expect(page.get_by_text(re.compile(r"^\d+%, [1-9]\d* of 156 exact"))).to_be_visible(
        timeout=SLOW
    )
    stop.click()
    bar = page.get_by_text(re.compile(r"^Stopped: \d+ of 156 exact\.$"))
    expect(bar).to_be_visible(timeout=SLOW)
    n = int(re.findall(r"\d+", bar.inner_text())[0])
    expect(page.get_by_text(f"{n} of 156 exact; hatched: an estimate")).to_be_visible()
    expect(page.locator(".grid .cell.guess")).to_have_count(156 - n)
    expect(page.get_by_text(f" {n} of 156 are exact; hatched is an estimate.")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    on = page.get_by_text(re.compile(r"^\d+%, \d+ of 156 exact"))
    expect(on).to_be_visible(timeout=SLOW)
    assert int(re.findall(r"\d+", on.inner_text())[1]) >= n > 0
    stop.click()
    expect(bar).to_be_visible(timeout=SLOW)


def test_over_a_slow_line_no_click_is_lost_while_a_sweep_is_followed(
    fresh: Page, address: str, gpt2_small: Path
) -> None:
    fresh.add_init_script(SLOW_LINE)
    fresh.goto(f"{address}/sweep?model={gpt2_small}&prompt={upward(2)}&answer=+32&per=position")
    stop = fresh.get_by_role("button", name="Stop")
    expect(stop).to_be_visible(timeout=SLOW)
    fresh.evaluate("slowLine(300)")
    for layer in range(8):
        cell(fresh, f"L{layer}H0").click()
        fresh.wait_for_timeout(250)
    named = r"\+".join(rf"{layer}\.0" for layer in range(8))
    expect(fresh).to_have_url(re.compile(rf"ablations={named}&"), timeout=SLOW)
    for _ in range(5):
        fresh.wait_for_timeout(200)
        assert re.search(rf"ablations={named}&", fresh.url)
    stop.click()


def test_what_a_page_asked_before_it_was_left_changes_nothing_of_the_next(
    fresh: Page, address: str, gpt2_small: Path
) -> None:
    polls = Polls(fresh)
    fresh.goto(f"{address}/sweep?model={gpt2_small}&prompt={upward(3)}&answer=+33&per=position")
    expect(fresh.get_by_role("button", name="Stop")).to_be_visible(timeout=SLOW)
    polls.held = True
    while not polls.n_late:
        fresh.wait_for_timeout(100)
    fresh.get_by_role("link", name="Circuits").click()
    chosen = fresh.get_by_role("radio", name="The prompt above", exact=True)
    expect(chosen).to_be_checked(timeout=SLOW)
    expect(fresh.get_by_role("button", name="Search").last).to_be_visible(timeout=SLOW)
    polls.say()
    cell(fresh, "L0H0").click()  # answered after what was late
    expect(fresh).to_have_url(re.compile(r"/circuits.*ablations=0\.0&"), timeout=SLOW)
    expect(chosen).to_be_checked()
    expect(fresh.get_by_text("names no sites")).to_have_count(0)


def test_the_map_downloads(page: Page, address: str) -> None:
    open_page(page, address)
    for name, start in (("PNG", b"\x89PNG"), ("SVG", b"<svg"), ("CSV", b"site,")):
        with page.expect_download() as told:
            page.get_by_role("button", name=name, exact=True).click()
        assert Path(told.value.path()).read_bytes().startswith(start)
