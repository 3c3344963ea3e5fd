"""A real Chromium on the real app. Where there is none the tests are left out, never in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from benchmarks.driving import launch, serving, wait_until_up
from tests.conftest import IN_CI

expect.set_options(timeout=60_000)  # a busy machine is slow, not wrong


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        try:
            one = launch(playwright)
        except Error as wrong:
            if IN_CI:
                raise
            pytest.skip(f"There is no Chromium here: {str(wrong).splitlines()[0]}")
        yield one
        one.close()


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    os.environ["SWITCHBOARD_SEARCHES"] = str(tmp_path_factory.mktemp("searches"))
    with serving() as address:
        wait_until_up(address)
        yield address


@pytest.fixture(scope="session")
def watched() -> Iterator[str]:
    """The dashboard with a slow model, whose work is counted and can be held."""
    with serving(Path(__file__).parents[1] / "support" / "watched_server.py") as address:
        wait_until_up(address)
        yield address


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own, that must ask nothing of any other machine and log no error."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    one, outside, errors = context.new_page(), [], []
    one.set_default_timeout(120_000)
    local = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")
    one.on("request", lambda r: None if r.url.startswith(local) else outside.append(r.url))
    one.on("pageerror", lambda e: errors.append(str(e)))
    yield one
    context.close()
    assert not outside, f"asked for {outside}"
    assert not errors, errors
