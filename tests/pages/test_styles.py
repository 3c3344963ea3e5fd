"""The style of a family on the pages that ask of pairs, and the table of what a model does."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import engine
from pages._parts import styles
from tests.pages.test_sweep import said
from tests.support.opening import codes_of, page_at
from tests.support.waiting import waited

PAGES = ("sweep", "circuits", "patching", "length", "attribution")


def opened(page: str = "length", model: str = "seq-gpt2", **query: str) -> AppTest:
    whole = {"over": "family", "task": "months", "n_pairs": "2", "model": model, **query}
    if page == "attribution":
        whole |= {"attributed": "gradients"}
    return waited(page_at(page, whole))


def box(page: AppTest) -> Any:
    return next(one for one in page.selectbox if one.label == "Style")


@pytest.mark.parametrize("name", PAGES)
def test_pairs_are_drawn_in_the_style_of_the_link(name: str) -> None:
    page = opened(name, style="commas")
    assert not page.exception and not page.error, said(page)
    assert "style=commas" in _query(page) and "style" not in _query(opened(name))
    drawn = page.session_state["_drawn_pairs"].question
    assert drawn == engine.DrawTask("months", "seq-gpt2", 2, style="commas")


def _query(page: AppTest) -> str:
    return "&".join(f"{name}={value}" for name, value in page.session_state["_link"])


def test_each_style_tells_how_many_of_its_prompts_the_model_gets_right() -> None:
    page = opened()
    counted = engine.score_styles("seq-gpt2", "months")
    assert box(page).options == [
        f"{style}: {counted.told('months', style)}" for style in engine.STYLES
    ]
    assert box(page).value == "spaces" and counted.told("months", "commas") == "12 of 12"
    page = waited(box(page).set_value("then").run())
    assert "style=then" in _query(page) and box(page).value == "then"
    prompts = [pair.prompt for pair in page.session_state["_drawn_pairs"].result.pairs]
    assert all(" then " in prompt for prompt in prompts)
    page = waited(page.selectbox(key="task").set_value("dates").run())
    assert not any(one.label == "Style" for one in page.selectbox) and not page.error
    page = waited(page.selectbox(key="task").set_value("letters").run())
    assert box(page).value == "then"


def test_a_style_there_is_not_is_told_as_an_unknown_family_is() -> None:
    for field in ("style", "task"):
        page = opened(**{field: "tabs"})
        assert f"The link's “{field}” is left out" in said(page)
    assert box(page).value == "spaces"


def test_what_the_model_does_is_asked_once_it_is_opened_and_its_cells_can_be_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = ("weekdays", "dates")
    whole = engine.ScoreStyles

    def asked(model: str, families: tuple[str, ...] = few) -> engine.ScoreStyles:
        return whole(model, families)

    monkeypatch.setattr(engine, "ScoreStyles", asked)
    page = opened(task="weekdays")
    assert "_styles seq-gpt2" not in page.session_state
    page.session_state["_styles_open"] = True
    page = waited(page.run())
    frame = next(f.value for f in page.dataframe if list(f.value)[:2] == ["family", "spaces"])
    result = page.session_state["_styles seq-gpt2"].result
    assert list(frame["family"]) == list(few)
    for family, style in (("weekdays", "spaces"), ("weekdays", "then"), ("dates", "sentence")):
        says = frame.loc[few.index(family), style]
        assert result.told(family, style) in says
        assert says.endswith("(7)") == (family == "weekdays")
        assert says.startswith("★") == (style == result.best(family))
    assert frame.loc[1, "spaces"] == ""
    code = codes_of(page, "score_styles")[0]
    with redirect_stdout(io.StringIO()) as out:
        exec(code, {})
    assert "'weekdays'" in out.getvalue()


def test_a_cell_means_its_family_and_style_or_the_best() -> None:
    result = engine.score_styles("seq-gpt2", ("weekdays", "dates"), 3)
    assert result.best("weekdays") == "commas"
    assert styles.meant(result, 0, "lines") == ("weekdays", "lines")
    assert styles.meant(result, 0, "family") == ("weekdays", "commas")
    assert styles.meant(result, 0, "sentence") == ("weekdays", "commas")
    assert styles.meant(result, 1, "sentence") == ("dates", None)
    assert styles.meant(result, 1, "commas") == ("dates", None)


def test_examples_to_go_on_from_are_written_in_their_own_style() -> None:
    told = {"generate": "many", "family": "months", "n_prompts": "2", "new_tokens": "2"}
    page = waited(page_at("generate", {**told, "model": "seq-gpt2", "family_style": "lines"}))
    assert box(page).value == "lines" and "family_style=lines" in _query(page)
    page = waited(page.selectbox(key="family").set_value("ages").run())
    assert not any(one.label == "Style" for one in page.selectbox) and not page.error
