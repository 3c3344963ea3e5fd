"""What only a browser can show of the Steering page: an example clicked, its map, its texts."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, expect

import engine
from tests.support.turning import turn

SLOW = 180_000
QUERY = "?model=seq-gpt2&prompt=1+2+3+4&answer=+5&distractor=+4&corrupted=8+1+6+3"
FEW = "&steer_layers=3&steer_coefficients=0+1&steer_draws=1&new_tokens=6"


def test_an_example_is_mapped_added_at_its_best_and_its_text_stands_beside_the_clean_one(
    page: Page, address: str
) -> None:
    turn(page, f"{address}/steering{QUERY}{FEW}")
    page.get_by_text("numerals to number words", exact=True).click(timeout=SLOW)
    expect(page.get_by_text("The best coefficient at r3")).to_be_visible(timeout=SLOW)
    expect(page.locator("svg.main-svg").first).to_be_visible(timeout=SLOW)
    page.get_by_role("button", name="Add it so").click(timeout=SLOW)
    expect(page).to_have_url(re.compile(r"changes=add%28number-words"), timeout=SLOW)
    (change,) = parse_qs(urlsplit(page.url).query)["changes"]
    expect(page.get_by_role("textbox", name="Further changes")).to_have_value(change)
    page.get_by_text("Text", exact=True).click()
    expect(page.get_by_text("Step by step")).to_be_visible(timeout=SLOW)
    repeated = re.compile("Repeated is the share of 3-grams")
    expect(page.get_by_text(repeated)).to_have_count(1, timeout=SLOW)
    e = engine.Experiment.from_url(urlsplit(page.url).query)
    assert str(e.changes[0]) == change and e.vectors[0].name == "number-words"
