"""What only a browser can show of the Features page: a feature is switched off where it is seen."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

import engine
from tests.support.turning import turn

SLOW = 180_000
E = engine.Experiment("seq-gpt2", "1 2 3 4", "8 1 6 3", " 5", " 4")


@pytest.fixture
def page(fresh: Page) -> Page:
    """A tab of its own: which SAE was chosen before, no link says."""
    return fresh


def test_health_is_seen_first_and_a_chip_switches_a_feature_off(page: Page, address: str) -> None:
    turn(page, f"{address}/features{E.to_url()}")
    expect(page.get_by_test_id("stMetric").filter(has_text="Loss recovered")).to_be_visible(
        timeout=SLOW
    )
    expect(page.get_by_test_id("stAlert")).to_contain_text("by these cuts", timeout=SLOW)
    page.get_by_role("radio", name="On this prompt").click()
    sae = engine.bundled_sae("seq-gpt2-r3")
    name = str(engine.active_features(E, sae).features[0])
    page.get_by_test_id("stButtonGroup").get_by_text(name, exact=True).click(timeout=SLOW)
    page.wait_for_url("**saes=**", timeout=SLOW)
    own = parse_qs(urlsplit(page.url).query)
    assert own["ablations"] == [name] and own["saes"] == [str(sae)]
    page.get_by_role("link", name="Explore").first.click()
    expect(page.get_by_role("textbox", name="Sites")).to_have_value(name, timeout=SLOW)


def test_the_smallest_circuit_is_kept_by_a_button_and_the_link_opens_it(
    page: Page, address: str
) -> None:
    turn(page, f"{address}/features{E.to_url()}&features_show=circuit&feature_order=signed")
    keep = page.get_by_role("button", name="Keep only these")
    keep.click(timeout=SLOW)
    page.wait_for_url("**changes=**", timeout=SLOW)
    (change,) = parse_qs(urlsplit(page.url).query)["changes"]
    curve = engine.feature_curve(E, engine.bundled_sae("seq-gpt2-r3"), by="signed", others="zero")
    kept = curve.features(curve.smallest() or 0)
    assert change == str(engine.keep_features(curve.sae, kept))
    turn(page, page.url)
    expect(page.get_by_role("button", name="Let all be")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("button", name="Keep only these")).to_be_visible(timeout=SLOW)
