"""The JavaScript libraries that draw figures and patterns: asked for once, kept, and late."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Response, Route, expect

from tests.support.some import some

SLOW = 180_000
QUERY = "?model=seq-gpt2&prompt=1+2+3+4&answer=+5&distractor=+4"
SENT = """file => performance.getEntriesByType("resource")
  .filter(e => e.name.includes(file)).map(e => e.transferSize)"""
"""How many bytes came over the line for a file, each time that it was asked for."""
LIBRARIES = pytest.mark.parametrize(
    ("path", "file", "name", "place", "drawn"),
    [
        ("lens", "plotly.min.js", "Plotly", ".sb-figure", ".sb-figure svg.main-svg"),
        ("attention", "iife.js", "CircuitsVis", ".sb-circuitsvis", ".sb-circuitsvis canvas"),
    ],
)


@LIBRARIES
def test_a_library_is_kept_and_of_one_page_asked_for_once(
    fresh: Page, address: str, path: str, file: str, name: str, place: str, drawn: str
) -> None:
    given: list[Response] = []
    fresh.on("response", lambda it: given.append(it) if file in it.url else None)
    fresh.goto(f"{address}/{path}{QUERY}")
    expect(fresh.locator(drawn).first).to_be_visible(timeout=SLOW)
    fresh.get_by_role("link", name="Explore").click()
    expect(fresh.locator(place)).to_have_count(0, timeout=SLOW)
    fresh.go_back()
    expect(fresh.locator(drawn).first).to_be_visible(timeout=SLOW)
    (once,) = given
    assert "immutable" in some(once.header_value("cache-control")) and "?" in once.url
    assert fresh.evaluate(f"Boolean({name})")
    fresh.goto(f"{address}/{path}{QUERY}")  # opened anew
    expect(fresh.locator(drawn).first).to_be_visible(timeout=SLOW)
    assert fresh.evaluate(SENT, file) == [0]


@LIBRARIES
def test_a_page_left_before_its_library_came_draws_nothing(
    fresh: Page, address: str, path: str, file: str, name: str, place: str, drawn: str
) -> None:
    held: list[Route] = []
    fresh.route(f"**/{file}*", lambda route: held.append(route))
    fresh.goto(f"{address}/{path}{QUERY}")
    expect(fresh.locator(place).first).to_be_attached(timeout=SLOW)
    fresh.evaluate("document.documentElement.classList.remove('sb-opening')")  # it is held for 30 s
    expect(fresh.locator(f"script[src*='{file}']")).to_be_attached(timeout=SLOW)
    fresh.get_by_role("link", name="Explore").click()
    expect(fresh.locator(place)).to_have_count(0, timeout=SLOW)
    held[0].continue_()
    fresh.wait_for_function(f"globalThis.{name}")
    fresh.wait_for_timeout(500)  # the fixture sees errors


@LIBRARIES
def test_a_library_that_does_not_come_is_asked_for_again(
    fresh: Page, address: str, path: str, file: str, name: str, place: str, drawn: str
) -> None:
    tries: list[Route] = []

    def answer(route: Route) -> None:
        tries.append(route)
        route.abort() if len(tries) < 3 else route.continue_()

    fresh.route(f"**/{file}*", answer)
    fresh.goto(f"{address}/{path}{QUERY}")
    expect(fresh.locator(drawn).first).to_be_visible(timeout=SLOW)
    assert len(tries) == 3
