"""Further changes, typed at the side: part of the view, its link and its undo."""

from typing import Any
from urllib.parse import parse_qsl

import pytest

import engine
from tests.pages.test_bad_input import page_of
from tests.pages.test_explore import component, opened, said, unescaped
from tests.support.navigation import PAGES
from tests.support.some import some
from tests.support.waiting import waited

TWO = ["scale(0.5) m2 @0", "set(1.0) 1.3.v"]


def test_a_link_brings_changes_and_carries_them_on() -> None:
    page = opened(prompt="1 2 3 4", changes=TWO)
    assert not page.exception and not page.error
    assert some(page.text_area(key="changes").value).split("\n") == TWO
    assert page.query_params["changes"] == TWO
    assert "Changed: scale(0.5) m2 @0; set(1.0) 1.3.v" in component(page, "rankings")["about"]


def test_a_typed_change_is_made_and_undone_and_a_wrong_one_is_told() -> None:
    page = opened()
    before = component(page, "rankings")
    page.text_area(key="changes").set_value(TWO[0]).run()
    assert not page.error and component(page, "rankings") != before
    assert page.query_params["changes"] in (TWO[0], [TWO[0]])
    (undo,) = [button for button in page.button if button.label == "Undo"]
    undo.click().run()
    assert page.text_area(key="changes").value == "" and "changes" not in page.query_params
    page.text_area(key="changes").set_value("9.1 zero").run()
    assert "begin with what becomes of the sites" in said(page) and not page.exception


def test_a_links_directions_are_carried_through_the_pages_and_used() -> None:
    vectors = [
        engine.Direction("up", "r3", engine.FromPrompts(["1 2 3 4"], ["8 1 6 3"])),
        engine.Direction("five", "r6", engine.FromUnembedding(" 5", " 4")),
    ]
    e = engine.Experiment(
        prompt="8 1 6 3", answer=" 5", distractor=" 4", changes="add(up, 1) r3", vectors=vectors
    )
    query: dict[str, Any] = {}
    for name, value in parse_qsl(e.to_url()[1:]):
        query[name] = [*query.get(name, []), value]
    page = opened(**query)
    assert not page.exception and not page.error
    assert page.query_params["vectors"] == query["vectors"]
    assert "Changed: add(up, 1.0) r3" in component(page, "rankings")["about"]
    assert "add" not in page.selectbox(key="method").options
    page = waited(page.switch_page(PAGES["lens"].file).run())
    assert not page.exception and not page.error
    page.text_area(key="changes").set_value("add(up, 1) r3\nproject(five) m5").run()
    page = waited(page)
    assert page.query_params["vectors"] == query["vectors"] and not page.error
    assert page.query_params["changes"] == ["add(up, 1.0) r3", "project(five) m5"]
    page = waited(page.switch_page(PAGES["explore"].file).run())
    assert page.query_params["vectors"] == query["vectors"]
    page.text_area(key="changes").set_value("add(gone, 1) r3").run()
    assert "no direction “gone”: it has up, five" in unescaped(said(page)) and not page.exception


def test_a_link_whose_direction_cannot_be_read_is_read_without_it() -> None:
    page = opened(prompt="1 2 3 4", vectors=['{"name":"a b"}', ""], method="add(a, 3)")
    assert not page.exception
    assert "“vectors” is left out" in said(page) and "“method” is left out" in said(page)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_takes_a_direction_or_says_why_not(name: str) -> None:
    made = engine.FromPrompts(["1 2 3 4"], ["8 1 6 3"])
    vector = str(engine.Direction("up", "r3", made))
    page = page_of(name, prompt="8 1 6 3", changes=["add(up, 1) r3"], vectors=[vector])
    assert not page.exception, page.exception[0].value
    told = unescaped(said(page))
    assert not told or "changes something" in told, told
    assert page.query_params["vectors"] in (vector, [vector])
