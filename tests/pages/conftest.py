"""What the tests of pages share."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.elements.widgets import number_input, selectbox, text_widgets
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.state import SafeSessionState, get_session_state
from streamlit.testing.v1 import local_script_runner


@pytest.fixture(scope="session", autouse=True)
def packages_are_looked_through_once() -> Iterator[None]:
    """Each AppTest looks through every installed package for components, which takes longer than
    most pages, and what it sees does not change while tests run."""
    with pytest.MonkeyPatch.context() as patch:
        scan = manifest_scanner.scan_component_manifests
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(scan))
        yield


@pytest.fixture(scope="session", autouse=True)
def a_run_is_waited_for_by_its_thread() -> Iterator[None]:
    """Each AppTest asks a thousand times a second whether its run is over, of all that it has told
    so far, while the run would go on."""
    look = local_script_runner.require_widgets_deltas

    def joined(runner: local_script_runner.LocalScriptRunner, timeout: float = 3) -> None:
        if runner._script_thread is not None:
            runner._script_thread.join(timeout)
        look(runner, timeout)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_script_runner, "require_widgets_deltas", joined)
        yield


@pytest.fixture(scope="session", autouse=True)
def the_app_has_run_before() -> Iterator[None]:
    """Each AppTest takes the dashboard anew for one whose every page is opened by itself, as a
    server does until its first visitor has come, and runs into each page before it runs the app."""
    begin = PagesManager.__init__

    def began(pages: PagesManager, *args: Any, **named: Any) -> None:
        PagesManager.uses_pages_directory = False
        begin(pages, *args, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PagesManager, "__init__", began)
        yield


class Held:
    """A session's state as a box asks for it: to look one value up in all of it."""

    def __init__(self) -> None:
        self._state = get_session_state()

    @property
    def filtered_state(self) -> SafeSessionState:
        """What says whether a name is there, and its value, by itself."""
        return self._state

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)


@pytest.fixture(scope="session", autouse=True)
def a_box_looks_its_own_value_up() -> Iterator[None]:
    """Each box copies all that the session holds, two hundred values, to look at its own."""
    with pytest.MonkeyPatch.context() as patch:
        for boxes in (number_input, selectbox, text_widgets):
            patch.setattr(boxes, "get_session_state", Held)
        yield
