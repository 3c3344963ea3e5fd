"""The mark beside the model's name, by Streamlit's own AppTest."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import engine
from pages._parts.certificate import CHECKS, COSTS, PLACES
from tests.support.opening import page_at
from tests.support.tiny_models import Tiny


def opened(**query: str) -> AppTest:
    return page_at("explore", query)


def mark(page: AppTest) -> tuple[str, list[str], list[list[str]]]:
    """The mark's label, its help, its tables' first columns and what it warns of."""
    found: Any
    (found,) = (
        b for b in page.sidebar.get("popover") if b.proto.popover.label.startswith("certified")
    )
    tables = [
        [row.split(" | ")[0].removeprefix("| ") for row in text.value.splitlines()[2:]]
        for text in found.get("markdown")
        if text.value.startswith("|")
    ]
    warned = [w.value.replace("\\", "") for w in found.get("warning")]
    return found.proto.popover.label, warned, tables


def test_the_mark_of_a_model_opens_on_what_was_tried() -> None:
    page = opened(model="seq-gpt2")
    found = engine.certificate("seq-gpt2")
    label, warned, tables = mark(page)
    assert (label, warned, found.refused) == ("certified", [], ())
    tables = [[cell.replace("\\", "") for cell in column] for column in tables]
    assert tables[0] == [PLACES[place.name] for place in found.places]
    assert tables[1] == [check.name for check in found.checks]
    captions = " ".join(c.value.replace("\\", "") for c in page.sidebar.caption)
    assert f"torch {dict(found.versions)['torch']}" in captions
    assert "engine.certificate('seq-gpt2').table()" in captions


@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
def test_every_thing_tried_has_its_words(model: str) -> None:
    found = engine.certificate(model)
    assert {place.name for place in found.places} <= PLACES.keys()
    assert {check.name for check in found.checks} <= CHECKS.keys()
    assert CHECKS.keys() > COSTS.keys()


def test_what_is_refused_is_told_with_its_reason() -> None:
    found = engine.certificate("seq-gpt2")
    less = dataclasses.replace(
        found,
        places=(dataclasses.replace(found.places[0], why="it moves nothing"), *found.places[1:]),
        checks=tuple(
            dataclasses.replace(c, why="other numbers come out") if c.name == "cached" else c
            for c in found.checks
        ),
    )

    def draw(less: "Any") -> None:  # read as a script of its own, which imports nothing
        from pages._parts.certificate import certificate

        certificate(less)

    page = AppTest.from_function(draw, args=(less,)).run()
    assert not page.exception
    told = [w.value.replace("\\", "") for w in page.warning]
    assert told == [
        f"Changes of the {PLACES[found.places[0].name].partition(',')[0]} are refused: it moves "
        "nothing.",
        "Generation is refused: other numbers come out.",
    ]
    assert page.get("popover")[0].proto.popover.label == "certified, but for 2"


def test_a_hybrids_caption_says_how_many_layers_have_heads(tiny: Tiny) -> None:
    page = opened(model=str(tiny("jamba")), prompt="t1 t5 t9")
    assert not page.exception
    assert any("3 layers, 4 heads over 2 in 1 of them" in c.value for c in page.sidebar.caption)
