"""Further changes, typed at the side: part of the view, its link and its undo."""

from tests.pages.test_explore import component, opened, said
from tests.support.some import some

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
