"""Addresses of old, one of every page and every field: each opens the view it always opened.

`addresses.json` holds, for each, what the page's widgets showed when the list was made.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import engine
from engine.text.tokens import Tokenizer
from tests.pages.test_explore import said, unescaped
from tests.support.navigation import PAGES
from tests.support.opening import page_at
from tests.support.waiting import waited
from tests.test_architecture import ROOT

OPENED = json.loads((ROOT / "tests" / "pages" / "addresses.json").read_text("utf-8"))
KINDS = (
    "text_input", "text_area", "number_input", "selectbox", "multiselect", "checkbox", "toggle",
    "button_group",
)  # fmt: skip

MOST_READ = 30
"""Texts that a page may tokenize where nothing has changed: a page that follows work does so every
0.4 seconds."""


@pytest.fixture(autouse=True)
def no_model_of_other_tests() -> None:
    """Pages offer what is loaded: let go of the models that other tests have left."""
    for info in engine.models():
        if "/" in info.name:
            engine.release(info.name)


def opened(path: str, query: dict[str, Any], then: str = "") -> AppTest:
    """The page at an address, or the one turned to `then`."""
    page = waited(page_at(path or "explore", query))
    return waited(page.switch_page(PAGES[then].file).run()) if then else page


def view(page: AppTest) -> dict[str, Any]:
    """What each widget with a name shows, and what is told to be wrong."""
    widgets = [each for kind in KINDS for each in getattr(page, kind)]
    shown = {each.key: each.value for each in widgets if each.key and each.key[:2] != "_l"}
    return {"shows": shown, "wrong": unescaped(said(page))}


@pytest.fixture
def texts_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that a tokenizer has read since."""
    read: list[str] = []
    for name in ("_call", "ids_of"):
        plain = getattr(Tokenizer, name)

        def noted(self: Tokenizer, given: Any, plain: Any = plain, **options: Any) -> Any:
            read.extend([given] if isinstance(given, str) else given)
            return plain(self, given, **options)

        monkeypatch.setattr(Tokenizer, name, noted)
    return read


@pytest.mark.parametrize("at", range(len(OPENED)), ids=lambda at: OPENED[at]["about"])
def test_an_address_opens_the_view_it_always_opened_and_draws_it_again_for_next_to_nothing(
    at: int, texts_read: list[str]
) -> None:
    told = OPENED[at]
    page = opened(told["path"], told["query"], told.get("then", ""))
    assert not page.exception, page.exception[0].value
    found = view(page)
    shows = {key: found["shows"].get(key, "not drawn") for key in told["shows"]}
    assert shows == told["shows"]
    assert found["wrong"] == told["wrong"]
    texts_read.clear()
    page.run()
    assert len(texts_read) <= MOST_READ
