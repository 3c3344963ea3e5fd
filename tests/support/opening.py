"""Pages opened by their addresses, by Streamlit's own AppTest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamlit.testing.v1 import AppTest

from tests.support.navigation import PAGES
from tests.test_architecture import ROOT


def page_at(name: str, query: Mapping[str, Any]) -> AppTest:
    """A page as an address opens it: what it works at may not be over."""
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    for field, value in query.items():
        page.query_params[field] = value
    return (page.switch_page(PAGES[name].file) if PAGES[name].path else page).run()
