"""The dashboard as the command of the installed wheel serves it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

import engine
from tests.support.wheel import Installed

E = engine.Experiment("seq-gpt2", "1 2 3 4", answer=" 5", distractor=" 4")


def test_the_installed_dashboard_answers_a_click_and_its_python_runs(
    installed: Installed, fresh: Page
) -> None:
    page = fresh
    with installed.serving("--no-browser") as (_, address):
        page.goto(f"{address}/{E.to_url()}")
        table = page.get_by_role("table", name="Clean and ablated")
        expect(table).to_be_visible(timeout=180_000)
        assert table.get_by_role("row").nth(1).inner_text().split()[:2] == ["␣5", "1"]
        before = table.inner_text()
        page.get_by_role("checkbox", name="L0H3", exact=True).click()
        expect(page.get_by_text("1 site changed")).to_be_visible()
        assert table.inner_text() != before
        page.get_by_text("Copy as Python").first.click()
        code = page.get_by_test_id("stCode").filter(has_text="engine.next_token(").inner_text()
    done = installed.run("python", "-c", code)
    assert not done.returncode, done.stderr
    (told,) = re.findall(r"^KL divergence (\S+)$", done.stdout, re.M)
    there = engine.Experiment.from_dict(E.to_dict() | {"ablations": "0.3"})
    assert float(told) == pytest.approx(engine.next_token(there).kl, rel=1e-3) != 0
    assert not list(installed.home.iterdir()) and not list(installed.folder.iterdir())
