"""What ran in this process before a script does not run in the script's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.support.alone import printed


def _page(says: str) -> None:
    import streamlit as st

    st.caption(says)


def test_a_page_that_ran_here_does_not_run_with_a_script() -> None:
    before = sys.modules["__main__"]
    try:
        app = AppTest.from_function(_page, args=("of the page",)).run()
        assert app.caption[0].value == "of the page"
        assert sys.modules["__main__"] is not before  # Streamlit leaves its page there
        main = sys.modules["__main__"]
        assert printed("print('of the script')") == "of the script\n"
        assert sys.modules["__main__"] is main
    finally:
        sys.modules["__main__"] = before


def test_a_script_knows_the_environment_of_its_start_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "import os; print(os.environ.get('SWITCHBOARD_SEARCHES'), os.environ.get('OF_ONE_TEST'))"
    monkeypatch.setenv("OF_ONE_TEST", "1")
    monkeypatch.delenv("SWITCHBOARD_SEARCHES")
    assert printed(said) == "None 1\n"
    monkeypatch.undo()
    assert printed(said) == f"{os.environ['SWITCHBOARD_SEARCHES']} None\n"


def test_a_script_runs_in_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert printed("import os; print(os.getcwd())") == f"{Path(__file__).resolve().parents[1]}\n"
