"""Whatever a link says, every page stands, and says in words what it cannot do."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.pages.test_explore import said, unescaped
from tests.support.navigation import PAGES
from tests.support.opening import page_at
from tests.support.waiting import waited

TOKENIZES_ONLY = {"tokenizer"}
"""Pages that do not run the model, and so have nothing against what it could not do."""

NOTHING_TO_RUN = ("a prompt past the context", "a model there is not")
"""What leaves not even a clean run."""

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
    "a prompt twice": ({"prompt": ["1 2", "b"]}, "more than once"),
}
LITTLE: dict[str, dict[str, Any]] = {
    "roles": {"role_words": "your own", "own_words": "1 2 3"},
    "neurons": {"neurons_exact": "2"},
    "features": {"features_in": "written", "context_text": "1 2 3 4"},
    "generate": {"new_tokens": "2"},
}
"""By which link a page works least at what it shows."""

TOLD_EVERYWHERE = {"no site", "no position", "no method", "no number", "a model there is not",
                   "a prompt twice"}  # fmt: skip


def page_of(name: str, **query: str | bytes | list[str]) -> AppTest:
    """A page opened by its link."""
    whole = {"model": "seq-gpt2", "prompt": "1 2 3 4", "answer": " 5", "distractor": " 4"}
    return waited(page_at(name, {**whole, **query}))


def little_of(name: str, **query: str | bytes | list[str]) -> AppTest:
    """A page opened by its link, of whose work little is asked."""
    return page_of(name, **{**LITTLE.get(name, {}), **query})


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
    assert not [b for b in page.button if str(b.key).startswith("_mend")]


@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("name", PAGES)
def test_strange_letters_are_shown_as_any_others(name: str, kind: str, model: str) -> None:
    text = STRANGE[kind]
    page = little_of(name, model=model, prompt=f"1 {text}", answer=text, distractor=" 4",
                     ablations="0.1")  # fmt: skip
    assert not page.exception and not page.error, said(page)
    assert page.text_area(key="prompt").value == f"1 {text}"
    stands(page)


@pytest.mark.parametrize("name", PAGES)
def test_half_a_surrogate_pair_in_a_link_is_no_letter_but_harms_nothing(name: str) -> None:
    page = little_of(name, prompt=b"1 \xed\xa0\xbd 2", answer=b"\xed\xa0\xbd")
    assert not page.exception and not page.error
    assert page.text_area(key="prompt").value == "1 \ufffd\ufffd\ufffd 2"
    stands(page)


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("name", PAGES)
def test_what_cannot_be_is_said_and_the_page_stands(name: str, kind: str) -> None:
    query, told = REFUSED[kind]
    page = little_of(name, **query)
    if name not in TOKENIZES_ONLY or kind in TOLD_EVERYWHERE:
        shown = said(page) + " ".join(one.value for one in page.info)
        assert told in unescaped(shown)
        assert kind in NOTHING_TO_RUN or not page.error
    stands(page)


UNMADE: dict[str, dict[str, Any]] = {
    **{
        kind: query
        for kind, (query, _) in REFUSED.items()
        if "ablations" in query and kind != "no site"
    },
    "a mean of a pattern": {"changes": ["mean 0.1.pattern"]},
    "a direction there is not": {"changes": ["add(gone, 1) r3"]},
    "numbers that overflow": {
        "ablations": "a0-5",
        "method": "set(1e6)",
        "changes": ["scale(1e6) a0"] * 9,
    },
}
CLEAN: dict[str, tuple[str, dict[str, Any]]] = {
    "explore": ("rankings", {}),
    "lens": ("figure", {}),
    "attribution": ("figure", {"run": "difference"}),
    "attention": ("attention_grid", {"run": "difference"}),
    "generate": ("generation", {}),
    "generate, answers": ("figure", {"generate": "answers"}),
    "generate, many": ("figure", {"generate": "many", "n_prompts": "2"}),
    "sweep": ("", {}),
    "length": ("figure", {}),
    "circuits": ("", {"do": "evaluate", "n_controls": "0", "members": "none"}),
}
"""What shows the clean run on each page, by the end of its component's name; else a number."""


def mended(page: AppTest) -> list[str]:
    """Take the first remedy that the page offers, until there is none. Returns: those taken."""
    taken = []
    while remedies := [b for b in page.button if str(b.key).startswith("_mend")]:
        taken.append(remedies[0].label)
        waited(remedies[0].click().run())
        assert not page.exception and len(taken) < 3, taken
    return taken


@pytest.mark.parametrize("kind", UNMADE)
@pytest.mark.parametrize("name", CLEAN)
def test_a_change_that_cannot_be_made_leaves_the_clean_run_and_goes_by_a_click(
    name: str, kind: str
) -> None:
    drawn, query = CLEAN[name]
    page = little_of(name.split(",")[0], **{**query, **UNMADE[kind]})
    assert not page.exception and not page.error, said(page)
    shown = [c.proto.component_name for c in page.get("bidi_component")]
    metrics = [one.label for one in page.metric]
    assert (
        any(each.endswith(drawn) for each in shown)
        if drawn
        else any(label.startswith("Clean") for label in metrics)
    ), (shown, metrics)
    assert mended(page), said(page)
    assert not page.error, said(page)
