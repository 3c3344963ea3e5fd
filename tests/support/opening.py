"""Pages opened by their addresses, by Streamlit's own AppTest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamlit.runtime.state.common import user_key_from_element_id
from streamlit.testing.v1 import AppTest

from tests.support.navigation import PAGES
from tests.support.some import some
from tests.test_architecture import ROOT


def page_at(name: str, query: Mapping[str, Any]) -> AppTest:
    """A page as an address opens it: what it works at may not be over."""
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    for field, value in query.items():
        page.query_params[field] = value
    return (page.switch_page(PAGES[name].file) if PAGES[name].path else page).run()


def codes_of(page: AppTest, part: str, label: str = "Copy as Python") -> list[str]:
    """What a page has to copy of which `part` is a part, its boxes of that label once opened."""
    for box in page.expander:
        if box.label == label:
            page.session_state[some(user_key_from_element_id(box.proto.id))] = True
    page.run()
    return [one.value for one in page.code if part in one.value]
