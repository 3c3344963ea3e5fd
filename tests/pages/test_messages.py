"""A browser's message that crosses a change made by the server, and one that comes amid one."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData, ScriptRequests
from streamlit.testing.v1 import AppTest

from pages._parts import messages


def two_boxes() -> None:
    import streamlit as st

    from pages._parts import messages, state  # noqa: F401

    def set_all() -> None:
        ss = st.session_state
        ss["text"], ss["verb"], ss["number"], ss["on"] = "set", "keep", 2.0, True

    def longer() -> None:
        st.session_state["text"] += "1"

    st.button("set", on_click=set_all)
    st.button("other")
    st.button("longer", on_click=longer)
    st.text_input("text", key="text")
    st.radio("verb", ["ablate", "keep"], key="verb")
    st.number_input("number", key="number")
    st.toggle("on", key="on")
    st.text_input("typed", key="typed")


BEFORE: dict[str, Any] = {"text": "", "verb": "ablate", "number": 0.0, "on": False}
SET: dict[str, Any] = {"text": "set", "verb": "keep", "number": 2.0, "on": True}


def values(app: AppTest) -> dict[str, Any]:
    return {name: app.session_state[name] for name in BEFORE}


def say_as_before(app: AppTest) -> None:
    """Have the next message say what the browser knew before it was told."""
    app.text_input(key="text").set_value("")
    app.radio(key="verb").set_value("ablate")
    app.number_input(key="number").set_value(0.0)
    app.toggle(key="on").set_value(False)


@pytest.fixture
def app() -> AppTest:
    one = AppTest.from_function(two_boxes, default_timeout=30).run().run()
    assert values(one) == BEFORE
    app = one.button[0].click().run()
    assert values(app) == SET
    say_as_before(app)
    return app


def test_a_click_sent_before_a_change_has_come_does_not_undo_it(app: AppTest) -> None:
    assert values(app.button[1].click().run()) == SET
    say_as_before(app)
    assert values(app.button[1].click().run()) == SET
    assert values(app.run()) == SET


def test_what_is_typed_then_is_taken_and_does_not_undo_it_either(app: AppTest) -> None:
    app.text_input(key="typed").set_value("typed").run()
    assert values(app) == SET and app.session_state["typed"] == "typed"


def test_a_poll_sent_then_does_not_undo_it(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_is_poll", lambda: True)
    assert values(app.run()) == SET


@pytest.mark.parametrize("name", BEFORE)
def test_the_reader_may_set_it_back(name: str) -> None:
    app = AppTest.from_function(two_boxes, default_timeout=30).run().run()
    app.button[0].click().run()
    kinds = {"text": "text_input", "verb": "radio", "number": "number_input", "on": "toggle"}
    getattr(app, kinds[name])(key=name).set_value(BEFORE[name]).run()
    assert values(app) == {**SET, name: BEFORE[name]}
    app.button[0].click().run()
    assert values(app) == SET
    getattr(app, kinds[name])(key=name).set_value(BEFORE[name]).run()
    assert values(app) == {**SET, name: BEFORE[name]}


def test_what_is_set_twice_is_told_as_last() -> None:
    app = AppTest.from_function(two_boxes, default_timeout=30).run().run()
    app.text_input(key="text").set_value("mine").run()
    app.button[0].click().run()
    app.text_input(key="text").set_value("mine")
    app.button[1].click().run()
    assert app.session_state["text"] == "set"
    app.text_input(key="text").set_value("mine, again").run()
    assert app.session_state["text"] == "mine, again"


def cut_in() -> None:
    import streamlit as st
    from streamlit.runtime.scriptrunner import RerunData, get_script_run_ctx

    from pages._parts import messages

    ss = st.session_state

    def ask() -> None:
        ctx = get_script_run_ctx()
        assert ctx is not None and ctx.script_requests is not None
        ctx.script_requests.request_rerun(RerunData())

    def both() -> None:
        ask()
        ss["a"] = 1
        ss["b"] = 1

    st.button("both", on_click=both)
    if "c" not in ss:
        with messages.uncut():
            ask()
            ss["c"] = 1
            ss["d"] = 1
    ss["runs"] = ss.get("runs", 0) + 1


def test_a_newer_message_does_not_cut_a_callback_or_what_belongs_together() -> None:
    app = AppTest.from_function(cut_in, default_timeout=30).run()
    assert app.session_state["c"] == app.session_state["d"] == 1
    app.button[0].click().run()
    assert app.session_state["a"] == app.session_state["b"] == 1


def test_streamlit_says_whether_a_clock_asked() -> None:
    requests = ScriptRequests()
    assert requests._rerun_data.is_auto_rerun is False
    requests.request_rerun(RerunData(fragment_id="1", is_auto_rerun=True))
    assert requests._rerun_data.is_auto_rerun is True


def test_a_message_from_amid_several_changes_undoes_none() -> None:
    app = AppTest.from_function(two_boxes, default_timeout=30).run().run()
    for text in ("", "", "1", "1"):  # as far as the browser knew of it
        app.text_input(key="text").set_value(text)
        app.button[2].click().run()
    assert app.session_state["text"] == "1111"
    app.text_input(key="text").set_value("11").run()
    assert app.session_state["text"] == "1111"
    app.text_input(key="text").set_value("5").run()
    assert app.session_state["text"] == "5"


def test_what_the_browser_says_nothing_of_is_told_again_until_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = AppTest.from_function(two_boxes, default_timeout=30).run().button[0].click().run()

    def told() -> set[str | None]:
        boxes = app.text_input(key="text"), app.radio(key="verb"), app.number_input(key="number")
        return {box.key for box in (*boxes, app.toggle(key="on")) if box.proto.set_value}

    app.run()
    assert values(app) == SET and not told()
    with monkeypatch.context() as late:
        late.setattr(app._tree, "get_widget_states", WidgetStates)
        app.run()
        assert values(app) == SET and told() == set(SET)
        late.setattr(app._tree, "get_widget_states", WidgetStates)
        assert app.run() and told() == set(SET)
    app.run()
    assert values(app) == SET and not told()
    app.text_input(key="text").set_value("mine").run()
    assert app.session_state["text"] == "mine"


def test_a_turn_that_waits_is_not_undone_by_a_part_asked_for_before_it() -> None:
    messages.install()
    left, turns = "sweep", RerunData(page_script_hash="circuits", query_string="?a")
    for poll in (True, False):
        requests = ScriptRequests()
        requests.request_rerun(turns)
        part = RerunData(fragment_id="part", page_script_hash=left, is_auto_rerun=poll)
        requests.request_rerun(part)
        asked = requests._rerun_data
        assert (asked.page_script_hash, asked.query_string) == ("circuits", "?a")
        assert not asked.is_auto_rerun and not asked.fragment_id_queue
        requests.request_rerun(RerunData(page_script_hash="lens"))
        assert requests._rerun_data.page_script_hash == "lens"


def test_what_is_first_said_of_a_widget_is_taken() -> None:
    app = AppTest.from_function(two_boxes, default_timeout=30).run()
    app.text_input(key="text").set_value("typed")
    app.button[1].click().run()
    assert app.session_state["text"] == "typed"


def test_a_part_asked_for_by_a_page_that_was_left_runs_on_the_page_that_is_there() -> None:
    class Pages:
        current_page_script_hash = "circuits"

    class Runner:
        _pages_manager = Pages()

    ran: list[RerunData] = []
    run = messages._where_it_is(lambda _, asked: ran.append(asked))
    run(Runner(), RerunData(page_script_hash="sweep", fragment_id_queue=["poll"]))
    run(Runner(), RerunData(page_script_hash="sweep"))
    assert [one.page_script_hash for one in ran] == ["circuits", "sweep"]
    assert ran[0].fragment_id_queue == ["poll"]
