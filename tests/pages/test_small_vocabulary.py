"""Every page opens with a model of three words, by Streamlit's own AppTest."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from tests.conftest import real
from tests.pages.test_explore import component, said
from tests.support.opening import page_at

PAGES = ("explore", "generate", "lens", "attention", "sweep", "length", "tokenizer")


def opened(page: str, **query: str) -> AppTest:
    asked = {"model": str(real("gpt-nano-sort")), "prompt": "ABC", "answer": "B", "distractor": "C"}
    return page_at(page, {**asked, **query})


@pytest.mark.parametrize("ablations", ["", "0.0 m1"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_with_a_vocabulary_of_three(page: str, ablations: str) -> None:
    app = opened(page, ablations=ablations)
    assert not app.exception and not app.error, said(app)


def test_its_text_is_generated_with_all_its_tokens_at_each_step() -> None:
    steps = component(opened("generate", ablations="0.0"), "generation")["steps"]
    assert steps
    for step in steps:
        assert sorted(one[0] for one in step["clean"]["top"]) == [0, 1, 2]
        assert step["clean"]["text"] in "ABC"
