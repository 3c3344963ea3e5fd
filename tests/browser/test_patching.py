"""What only a browser can show of the Patching page: cells, heads and tokens become patches."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

import engine
from tests.support.some import some
from tests.support.turning import leave, turn

SLOW = 180_000
E = engine.Experiment("seq-gpt2", "1 2 3 4", "8 1 6 3", " 5", " 4")


def cell(page: Page, name: str) -> Any:
    return page.get_by_role("checkbox", name=name, exact=True)


def changes(page: Page) -> list[str]:
    return parse_qs(urlsplit(page.url).query).get("changes", [])


SEEN = """() => { window.tops = new Set(); const look = () => {
  const asked = document.querySelector("[role=radiogroup][aria-label='Asked of']");
  if (asked) tops.add(Math.round(asked.getBoundingClientRect().top));
  requestAnimationFrame(look); }; look(); }"""
"""Note where what is asked of stands, in each frame."""


def strip(page: Page, name: str) -> Any:
    return page.locator(f"[data-strip={name}]")


@pytest.fixture
def page(fresh: Page) -> Page:
    """A tab of each test's own: in one that has shown many views a click or a drop is lost now and
    then, and why is not known."""
    return fresh


def rest(page: Page) -> None:
    """Wait until nothing more comes of a view that was turned to."""
    expect(page.locator("[data-test-script-state=notRunning]")).to_be_visible(timeout=SLOW)
    expect(page.get_by_test_id("stProgress")).to_have_count(0, timeout=SLOW)


def lift(page: Page, what: Any, onto: Any) -> None:
    """Drag something onto something else, and hold it there."""
    rest(page)
    what.hover()
    page.mouse.down()
    onto.hover()


def told(page: Page) -> Any:
    return page.get_by_test_id("stMetric").filter(has_text="With all that is changed")


def experiment(page: Page) -> engine.Experiment:
    return engine.Experiment.from_url(urlsplit(page.url).query)


def test_a_cell_a_token_and_the_bar_make_patches_of_the_experiment(
    page: Page, address: str
) -> None:
    turn(page, f"{address}/patching{E.to_url()}")
    expect(cell(page, "r3 @3")).to_have_attribute("aria-checked", "false", timeout=SLOW)
    best = engine.patch(E).table(by="share", most=1)[0]
    first = cell(page, f"{best['site']} @{best['position']}")
    expect(first).to_have_attribute("aria-description", re.compile(r"\(1 of 24\)$"))
    rest(page)
    cell(page, "r3 @3").click()  # of denoising the prompts change places
    expect(page).to_have_url(re.compile(r"prompt=8\+1\+6\+3&corrupted=1\+2\+3\+4"))
    expect(page).to_have_url(re.compile("way=noise"))
    assert changes(page) == ["resample r3 @3"]
    expect(cell(page, "r3 @3")).to_have_attribute("aria-checked", "true")
    made = engine.next_token(experiment(page))
    expect(told(page)).to_contain_text(engine.signed(some(made.ablated_logit_diff)))
    strip(page, "corrupted").nth(1).drag_to(strip(page, "clean").nth(1))
    expect(page).to_have_url(re.compile(r"changes=resample\+r0\+%401"))
    assert changes(page) == ["resample r3 @3", "resample r0 @1"]
    cell(page, "r3 @3").click()
    expect(page).not_to_have_url(re.compile(r"resample\+r3"))
    page.get_by_role("button", name="Patch", exact=True).click()
    expect(page.get_by_role("textbox", name="Further changes")).to_have_value(
        re.compile("resample r0 @1\n(resample r[0-9] @[0-9]\n?){4,5}")
    )
    page.get_by_role("link", name="Logit lens").click()
    expect(page).to_have_url(re.compile(r"lens.*changes=resample\+r0\+%401"))


@pytest.mark.parametrize("way", engine.PATCH_DIRECTIONS)
@pytest.mark.parametrize(
    ("place", "at"), [("resid_mid", "position"), ("z", "whole"), ("q", "position")]
)
def test_a_cell_or_a_head_dropped_on_the_prompt_that_is_patched_is_a_change_with_its_number(
    page: Page, address: str, place: str, at: str, way: str
) -> None:
    result = engine.patch(E, place=place, direction=way, per_position=at == "position")
    row = result.table(by="change", most=1)[0]
    where = f" @{row['position']}" if "position" in row else ""
    turn(page, f"{address}/patching{E.to_url()}&place={place}&patched_at={at}&way={way}")
    best = cell(page, f"{row['site']}{where}")
    expect(best).to_have_attribute("aria-description", re.compile(r"\(1 of "), timeout=SLOW)
    into, other = ("clean", "corrupted") if way == "noise" else ("corrupted", "clean")
    takes, lands = page.locator(".strip.over"), page.locator(".strip.lands")
    lift(page, best, strip(page, other).nth(1))
    expect(page.get_by_text(re.compile(f"^Drop .* on the {into} prompt; Escape"))).to_be_visible()
    expect(takes).to_have_count(0)
    strip(page, into).nth(1).hover()
    expect(page.get_by_text(f"{row['site']}{where} is patched into the {into}")).to_be_visible()
    expect(takes).to_have_text([into, *strip(page, into).all_inner_texts()])
    assert lands.all_inner_texts() == [str(row[into]) for _ in where[:1]]
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"changes=resample\+"))
    assert changes(page) == [f"resample {row['site']}{where}"]
    assert experiment(page).prompt == (E.prompt if way == "noise" else E.corrupted)
    made = engine.next_token(experiment(page))
    now, before = some(made.ablated_logit_diff), some(made.clean_logit_diff)
    assert abs(now - before - float(str(row["change"]))) < 1e-4
    expect(told(page)).to_contain_text(engine.signed(now))
    expect(cell(page, f"{row['site']}{where}")).to_be_checked()


@pytest.mark.parametrize("place", ["resid_pre", "z"])
def test_what_is_dropped_elsewhere_or_let_go_of_by_escape_changes_nothing(
    page: Page, address: str, place: str
) -> None:
    turn(page, f"{address}/patching{E.to_url()}&place={place}&way=noise")
    first, second = (cell(page, f"r{n} @2" if place == "resid_pre" else f"{n}.2") for n in (1, 2))
    expect(page.get_by_text(re.compile("^5 outlined"))).to_be_visible(timeout=SLOW)
    clean, corrupted, ghost = strip(page, "clean"), strip(page, "corrupted"), page.locator(".ghost")
    for what, onto in (
        (first, corrupted.nth(2)),
        (first, second),
        (first, told(page).or_(page.get_by_text("Clean logit difference"))),
        (clean.nth(2), corrupted.nth(2)),  # it is the clean prompt that is patched
        (corrupted.nth(2), clean.nth(1)),  # a token's place is its own
    ):
        lift(page, what, onto)
        expect(ghost).to_be_visible()
        page.mouse.up()
        expect(ghost).to_be_hidden()
    for what in (first, corrupted.nth(2)):
        lift(page, what, clean.nth(2))
        expect(page.locator(".strip.over")).to_have_count(5)
        page.keyboard.press("Escape")
        expect(ghost).to_be_hidden()
        expect(page.locator(".strip.open, .strip.over, .strip.lands")).to_have_count(0)
        what.hover()
        page.mouse.up()  # where it was taken from
    expect(first).not_to_be_checked()
    second.focus()
    page.keyboard.press("Space")  # the first that is made
    expect(page).to_have_url(re.compile(r"changes=resample\+"))
    assert changes(page) == ["resample r2 @2" if place == "resid_pre" else "resample 2.2"]
    lift(page, corrupted.nth(2), clean.nth(2))
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"resample\+r0\+%402"))


def test_a_finger_drags_too(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 420, "height": 900})
    turn(page, f"{address}/patching{E.to_url()}&place=z&way=noise")
    expect(page.get_by_text(re.compile("^5 outlined"))).to_be_visible(timeout=SLOW)
    finger = page.context.new_cdp_session(page)

    def touch(kind: str, *where: Any) -> None:
        boxes = [some(one.bounding_box()) for one in where]
        middles = [{"x": b["x"] + b["width"] / 2, "y": b["y"] + b["height"] / 2} for b in boxes]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": middles})

    for what, change in ((cell(page, "3.1"), "3.1"), (strip(page, "corrupted").nth(2), "r0 @2")):
        what.scroll_into_view_if_needed()
        touch("touchStart", what)
        for over in (cell(page, "0.1"), strip(page, "clean").nth(2)):
            touch("touchMove", over)
        touch("touchEnd")
        expect(page.get_by_role("textbox", name="Further changes")).to_have_value(
            re.compile(rf"resample {change}$")
        )


def test_heads_are_patched_switched_off_or_made_a_circuit(page: Page, address: str) -> None:
    turn(page, f"{address}/patching{E.to_url()}&place=z&way=noise")
    expect(page.get_by_text(re.compile("^5 outlined: 0.0 "))).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Switch off", exact=True).click()
    expect(page).to_have_url(re.compile("ablations=0"))
    page.get_by_role("button", name="Undo").click()
    cell(page, "0.0").focus()
    page.keyboard.press("Space")
    expect(page).to_have_url(re.compile(r"changes=resample\+0\.0&"))
    page.get_by_role("button", name="Paths from them").click()
    expect(page.get_by_label("Senders", exact=True)).to_have_value(
        re.compile(r"^([0-9]\.[0-9] ?){5}$"), timeout=SLOW
    )
    expect(page.get_by_text(re.compile("^Paths into logits"))).to_be_visible(timeout=SLOW)
    page.get_by_role("link", name="Patching").click()
    page.get_by_role("button", name="Make a circuit").click(timeout=SLOW)
    circuit = page.get_by_role("combobox", name="Circuit")
    expect(circuit).to_have_value(re.compile("^5 by share"), timeout=SLOW)


def test_an_error_that_is_mended_goes_before_what_stands_below_it_is_seen(
    page: Page, address: str
) -> None:
    turn(page, f"{address}/patching{E.to_url()}")
    expect(cell(page, "r3 @3")).to_be_visible(timeout=SLOW)
    assert leave(page)
    expect(page.get_by_test_id("stAlertContentError")).to_be_visible()
    expect(page.get_by_role("radiogroup", name="Asked of")).to_have_count(0)
    page.evaluate(SEEN)
    turn(page, f"{address}/patching{E.to_url()}&way=noise")
    expect(cell(page, "r3 @3")).to_be_visible(timeout=SLOW)
    page.wait_for_function("document.querySelector('[data-test-script-state=notRunning]')")
    tops = page.evaluate("[...tops]")
    assert max(tops) == tops[-1], tops
