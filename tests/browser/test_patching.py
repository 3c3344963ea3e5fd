"""What only a browser can show of the Patching page: cells and tokens that become patches."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

import engine

SLOW = 180_000
E = engine.Experiment("seq-gpt2", "1 2 3 4", "8 1 6 3", " 5", " 4")


def cell(page: Page, name: str) -> Any:
    return page.get_by_role("checkbox", name=name, exact=True)


def changes(page: Page) -> list[str]:
    return parse_qs(urlsplit(page.url).query).get("changes", [])


def test_a_cell_a_token_and_the_bar_make_patches_of_the_experiment(
    page: Page, address: str
) -> None:
    page.goto(f"{address}/patching{E.to_url()}")
    expect(cell(page, "r3 @3")).to_have_attribute("aria-checked", "false", timeout=SLOW)
    best = engine.patch(E).table(by="share", most=1)[0]
    first = cell(page, f"{best['site']} @{best['position']}")
    expect(first).to_have_attribute("aria-description", re.compile(r"\(1 of 24\)$"))
    cell(page, "r3 @3").click()  # of denoising the prompts change places
    expect(page).to_have_url(re.compile(r"prompt=8\+1\+6\+3&corrupted=1\+2\+3\+4"))
    expect(page).to_have_url(re.compile("way=noise"))
    assert changes(page) == ["resample r3 @3"]
    expect(cell(page, "r3 @3")).to_have_attribute("aria-checked", "true")
    told = engine.next_token(engine.Experiment.from_url(urlsplit(page.url).query))
    assert told.ablated_logit_diff is not None
    shown = page.get_by_test_id("stMetric").filter(has_text="With all that is changed")
    expect(shown).to_contain_text(engine.signed(told.ablated_logit_diff))
    tokens = page.locator("[data-strip=corrupted]"), page.locator("[data-strip=clean]")
    tokens[0].nth(1).drag_to(tokens[1].nth(2))  # another token's place is none
    tokens[0].nth(1).drag_to(tokens[1].nth(1))
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


def test_heads_are_patched_switched_off_or_made_a_circuit(page: Page, address: str) -> None:
    page.goto(f"{address}/patching{E.to_url()}&place=z&way=noise")
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
