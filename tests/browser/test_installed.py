"""The dashboard as the command of the installed wheel serves it."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.support.wheel import Installed

VIEW = "?model=seq-gpt2&prompt=1+2+3+4&answer=+5&distractor=+4"


def test_the_installed_dashboard_answers_a_click_with_the_bundled_model(
    installed: Installed, page: Page
):
    with installed.serving("--no-browser") as (_, address):
        page.goto(f"{address}/{VIEW}")
        clean, ablated = (page.get_by_role("table", name=name) for name in ("Clean", "Ablated"))
        expect(ablated).to_be_visible(timeout=180_000)
        assert clean.get_by_role("row").first.inner_text().split()[:2] == ["1", "␣5"]
        before = ablated.inner_text()
        page.get_by_role("checkbox", name="L0H3", exact=True).click()
        expect(page.get_by_text("1 site changed")).to_be_visible()
        assert ablated.inner_text() != before
    assert not list(installed.home.iterdir()) and not list(installed.folder.iterdir())
