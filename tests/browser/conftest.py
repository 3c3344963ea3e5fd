"""A real Chromium on the real app. Where there is none the tests are left out, never in CI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from benchmarks.driving import HEADLESS_SHELL, launch
from benchmarks.toggle import save_gpt2_small
from tests.conftest import IN_CI
from tests.support.server import served
from tests.support.tab import SIZE, Tab
from tests.support.turning import leave

expect.set_options(timeout=60_000)  # a busy machine is slow, not wrong


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        try:
            one = launch(playwright, HEADLESS_SHELL)
        except Error as wrong:
            if IN_CI:
                raise
            pytest.skip(f"There is no Chromium here: {str(wrong).splitlines()[0]}")
        yield one
        one.close()


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    with served() as address:
        yield address


@pytest.fixture(scope="session")
def watched() -> Iterator[str]:
    """The dashboard with a slow model, whose work is counted and can be held."""
    with served("tests/support/watched_server.py") as address:
        yield address


@pytest.fixture(scope="session")
def gpt2_small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose work takes long enough to be watched and stopped."""
    directory = tmp_path_factory.mktemp("gpt2-small")
    save_gpt2_small(directory)
    return directory


@pytest.fixture
def fresh(browser: Browser) -> Iterator[Page]:
    """A tab of a test's own: it changes how the tab opens, opens a cold server, or closes it."""
    tab = Tab.of(browser)
    yield tab.page
    tab.close()


@pytest.fixture(scope="session")
def tabs() -> Iterator[list[Tab]]:
    """The tab that is kept between tests, if there is one."""
    kept: list[Tab] = []
    yield kept
    for tab in kept:
        tab.close()


@pytest.fixture
def page(browser: Browser, tabs: list[Tab], request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab to `turn` to a view, of whose widgets all are in the link but two: whether the side's
    "Link, JSON, Python" and the circuits' library are open. A test that opens one takes `fresh`.
    After a test that failed, or whose view cannot be left, the next has another tab."""
    tab = tabs.pop() if tabs else Tab.of(browser)
    failed = request.session.testsfailed
    yield tab.page
    whole = request.session.testsfailed == failed and not (tab.errors or tab.outside)
    if whole and leave(tab.page):
        for other in tab.page.context.pages:
            if other != tab.page:
                other.close()
        tab.page.set_viewport_size(SIZE)
        tab.page.emulate_media(color_scheme="light")
        tab.page.mouse.move(0, 0)
        tabs.append(tab)
    else:
        tab.page.context.close()
    tab.check()
