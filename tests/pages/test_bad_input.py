"""Whatever a link says, every page stands, and says in words what it cannot do."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.test_explore import said, unescaped
from tests.support.navigation import PAGES
from tests.support.waiting import waited
from tests.test_architecture import ROOT

TOKENIZES_ONLY = {"tokenizer"}
"""Pages that do not run the model, and so have nothing against what it could not do."""

STRANGE = {
    "emoji": "🚀👩‍👩‍👧🇪🇺é",
    "Arabic": "مرحبا بالعالم ١ ٢ ٣",
    "Chinese": "一二三四",
    "zero-width and control": "1\u200b2\x00\x1b\x7f\ufeff\u202e 3",
    "line ends alone": "\r\n\t ",
    "special tokens": "</s><s><|endoftext|>",
    "markup": "<script>alert(1)</script> $x$ ![x](//a.b/c) :red[y]",
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({"prompt": ""}, "The prompt is empty"),
    "a prompt past the context": ({"prompt": "1 " * 4000}, "this model reads at most 128"),
    "a site there is not": ({"ablations": "13.40"}, "layers are 0 to 5"),
    "a neuron there is not": ({"ablations": "n0.99999"}, "neurons"),
    "no site": ({"ablations": "<b>🚀"}, "not a site"),
    "no corrupted prompt": ({"ablations": "0.1", "method": "resample"}, "corrupted prompt"),
    "no reference": ({"ablations": "0.1", "method": "mean"}, "reference"),
    "a corrupted prompt of another length": (
        {"ablations": "0.1", "method": "resample", "corrupted": "1"},
        "1 tokens long",
    ),
    "a reference of another length": (
        {"ablations": "0.1", "method": "mean_by_position", "references": ["1", "1 2 3"]},
        "tokens",
    ),
    "a position past the prompt": ({"ablations": "0.1", "positions": "99"}, "positions 0 to 3"),
    "a position before it": ({"ablations": "0.1", "positions": "-99"}, "positions 0 to 3"),
    "no position": ({"positions": "everywhere"}, "names no positions"),
    "no method": ({"method": "magic"}, "not a method"),
    "no number": ({"method": "set(1e999)"}, "must be finite"),
    "a model there is not": ({"model": "/no/such/directory"}, "no directory"),
    "a prompt twice": ({"prompt": ["a", "b"]}, "twice"),
}
TOLD_EVERYWHERE = {"no site", "no position", "no method", "no number", "a model there is not",
                   "a prompt twice"}  # fmt: skip


def page_of(name: str, **query: str | bytes | list[str]) -> AppTest:
    """A page opened by its link."""
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    whole = {"model": "seq-gpt2", "prompt": "1 2 3 4", "answer": " 5", "distractor": " 4"}
    for field, value in {**whole, **query}.items():
        page.query_params[field] = value
    return waited((page.switch_page(PAGES[name].file) if PAGES[name].path else page).run())


def stands(page: AppTest) -> None:
    """No bug shows, and the reader can mend what was asked."""
    assert not page.exception, page.exception[0].value
    page.text_area(key="prompt").set_value("1 2 1 2")
    page.text_input(key="positions").set_value("all")
    for box in page.text_input:
        if box.key == "sites":
            box.set_value("")
    page.selectbox(key="method").set_value("zero")
    waited(page.selectbox(key="model").set_value("seq-gpt2").run())
    assert not page.exception and not page.error, said(page)


@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("name", PAGES)
def test_strange_letters_are_shown_as_any_others(name: str, kind: str, model: str) -> None:
    text = STRANGE[kind]
    page = page_of(name, model=model, prompt=f"1 {text}", answer=text, distractor=" 4",
                   ablations="0.1")  # fmt: skip
    assert not page.exception and not page.error, said(page)
    assert page.text_area(key="prompt").value == f"1 {text}"
    stands(page)


@pytest.mark.parametrize("name", PAGES)
def test_half_a_surrogate_pair_in_a_link_is_no_letter_but_harms_nothing(name: str) -> None:
    page = page_of(name, prompt=b"1 \xed\xa0\xbd 2", answer=b"\xed\xa0\xbd")
    assert not page.exception and not page.error
    assert page.text_area(key="prompt").value == "1 \ufffd\ufffd\ufffd 2"
    stands(page)


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("name", PAGES)
def test_what_cannot_be_is_said_and_the_page_stands(name: str, kind: str) -> None:
    query, told = REFUSED[kind]
    page = page_of(name, **query)
    if name not in TOKENIZES_ONLY or kind in TOLD_EVERYWHERE:
        assert told in unescaped(said(page))
    stands(page)
