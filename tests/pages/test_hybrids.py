"""Every page on a hybrid, of whose three layers one has heads, by Streamlit's own AppTest."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import engine
from pages._parts import switches
from pages._parts.attention import grid
from pages._parts.cells import tell
from tests.support.navigation import PAGES
from tests.support.opening import page_at
from tests.support.some import some
from tests.support.tiny_models import HYBRIDS, Tiny
from tests.support.waiting import waited

ASKED = {"prompt": "t1 t5 t9 t2 t7", "corrupted": "t3 t4 t9 t8 t7", "answer": " t11"}
ASKED |= {"distractor": " t20"}
NO_HEADS = [0, 1, 2, 3, 10, 11, 12, 13]
"""The cells of layers 0 and 2 in a grid of 4 heads and an MLP."""


def opened(name: str, model: object, **query: str) -> AppTest:
    return waited(page_at(name, {"model": str(model), **ASKED, **query}))


def protos(page: AppTest, name: str) -> list:
    sent = [c.proto for c in page.get("bidi_component")]
    return [p for p in sent if p.component_name.split(".")[-1] == name]


def data(page: AppTest, name: str) -> dict:
    return json.loads(protos(page, name)[0].json)


def said(page: AppTest) -> str:
    return " ".join(e.value for e in [*page.error, *page.warning, *page.caption]).replace("\\", "")


@pytest.mark.parametrize("kind", HYBRIDS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_on_a_hybrid(name: str, kind: str, tiny: Tiny) -> None:
    more = {"place": "z"} if name == "patching" else {}
    page = opened(name, tiny(kind), ablations="1.2 m0", method="mean", **more)
    refused = name == "generate" and "cached" in engine.certificate(str(tiny(kind))).refused
    assert not page.exception and bool(page.error) == refused  # Bamba's own cache is off
    without_mlps = [0, 1, 2, 3, 8, 9, 10, 11]
    if protos(page, "head_grid"):
        assert data(page, "head_grid")["absent"] == (without_mlps if more else NO_HEADS)
    if name == "attention":
        sent = protos(page, "attention_grid")[0].bytes
        header = json.loads(sent[4 : 4 + int.from_bytes(sent[:4], "little")])
        assert header["absent"] == without_mlps
        assert header["scores"]["entropy"].count(None) == 8
        assert page.text_input(key="heads").value == "1.0"
        assert len(header["csv"].splitlines()) == 5
    if name == "sweep":
        values = np.array(data(page, "head_grid")["values"], float)
        assert np.flatnonzero(np.isnan(values)).tolist() == NO_HEADS


@pytest.mark.parametrize("view", ["evaluate", "compare", "edges"])
def test_a_view_of_circuits_opens_on_a_hybrid(view: str, tiny: Tiny) -> None:
    model = str(tiny("jamba"))
    best = engine.next_token(engine.Experiment(model, ASKED["prompt"])).clean.texts
    left = engine.circuit_left(
        engine.ablations("1.0"), engine.load(model).shape, "left", model, method="mean"
    )
    two = engine.Circuit.from_csv("site\n1.1\nm0\n", "two", model, "", 3, 4, [0, 2])
    page = opened("circuits", model, do=view, circuits=engine.write_circuits([left, two]),
                  over="prompt", method="mean", answer=best[0], distractor=best[5])  # fmt: skip
    assert not page.exception and not page.error
    drawn = [p for p in map(json.loads, (f.json for f in protos(page, "figure"))) if "name" in p]
    assert drawn


def test_the_lens_says_which_layers_it_leaves_out(tiny: Tiny) -> None:
    page = opened("lens", tiny("jamba"), stream="attn_out")
    assert not page.exception and not page.error
    assert "Layers 0, 2 have no attn_out" in said(page)


def test_a_search_of_a_hybrid_counts_the_nodes_it_has(tiny: Tiny) -> None:
    model = tiny("jamba")
    best = engine.next_token(engine.Experiment(str(model), ASKED["prompt"])).clean.texts
    page = opened("circuits", model, do="search", over="prompt", answer=best[0],
                  distractor=best[5], search_method="resample")  # fmt: skip
    page = waited(page.button(key="_begin_search").click().run())
    assert not page.exception and not page.error
    assert any(m.label == "Nodes kept" and m.value.endswith("of 7") for m in page.metric)


def test_clicks_can_make_no_site_that_a_hybrid_lacks(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = engine.load(str(tiny("lfm2"))).shape
    held: dict[str, Any] = {"sites": "r1.mid 0.1"}
    monkeypatch.setattr(st, "session_state", held)
    told = tell(switches._GRID, picked=[])
    said = {"rev": told, "cells": [0, 3, 4, 5, 7, 9, 12, 99, -1]}
    held[switches._GRID] = {"picked": said}
    switches._on_picked(shape)
    assert held["sites"] == "1.0 1.2 m0 m1 r1.mid 0.1"  # what was named and is not there is told
    assert grid._heads([0, 4, 7, 8, 99, -3, "x"], shape) == [engine.Head(1, 0), engine.Head(1, 3)]


def test_new_sites_have_chips_and_come_and_go(tiny: Tiny) -> None:
    page = opened("explore", tiny("llama"), ablations="1.3.pattern r3.mid 2.1.q")
    assert not page.exception
    assert "r3.mid is in layer 3; this model's layers are 0 to 2" in said(page)
    page = opened("explore", tiny("llama"), ablations="1.3.pattern r2.mid 2.1.q r3 1.2.k m0")
    assert not page.exception and not page.error
    shown = data(page, "head_grid")
    assert [name for name, _ in shown["chips"]] == [
        "m0", "1.2.k", "1.3.pattern", "2.1.q", "r2.mid", "r3"
    ]  # fmt: skip
    assert shown["picked"] == [4]
    notes = said(page)
    assert "1.2.k is the key of a key-value head that heads 1.2 and 1.3 share" in notes
    page.text_input(key="sites").set_value("1.3.pattern").run()
    assert [name for name, _ in data(page, "head_grid")["chips"]] == ["1.3.pattern"]
    next(b for b in page.button if b.label == "Undo").click().run()
    assert "r2.mid" in some(page.text_input(key="sites").value) and not page.exception
    box = page.text_input(key="sites")
    assert all(f"{name} " in box.help for name in ("9.1.q", "9.1.pattern", "r9.mid"))


def test_a_sink_is_told_on_the_attention_page(tiny: Tiny) -> None:
    page = opened("attention", tiny("gpt_oss"))
    assert not page.exception and not page.error
    assert "each head has a sink, which is no token" in said(page)


def test_values_that_cannot_be_seen_are_told_on_the_attention_page(tiny: Tiny) -> None:
    page = opened("attention", tiny("deepseek_v3"), weight="value")
    assert not page.exception
    assert "Layer 0 has no values of its own that can be seen" in said(page)
    assert not opened("attention", tiny("deepseek_v3")).error
