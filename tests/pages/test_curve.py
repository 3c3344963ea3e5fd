"""Faithfulness curves on the Circuits page, by Streamlit's own AppTest."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import engine
from tests.pages.test_circuits import ONE, TASK, opened, rows, said
from tests.support.opening import codes_of
from tests.support.waiting import waited


def curve_page(**query: str) -> AppTest:
    page = opened(False, **{"do": "curve", "n_random": "2", **query})
    for _ in range(6):
        page = waited(page)
    assert not page.exception, page.exception
    return page


def check_rows(shown: list[dict[str, str]], mine: list[dict[str, Any]]) -> None:
    for a, b in zip(shown, mine, strict=True):
        for name in ("share", "size", "edges", "faithfulness", "spread", "random"):
            assert float(a[name]) == pytest.approx(float(b[name]), abs=1e-4), name


def test_a_ranking_by_gradients_is_drawn_with_a_circuit_as_a_point() -> None:
    page = curve_page(curve_points="one")
    e = engine.Experiment("seq-gpt2")
    ranked = engine.rank_members(engine.node_attribution(e, TASK.pairs))
    mine = engine.faithfulness_curve(ranked, TASK, controls=2)
    point = engine.faithfulness_curve(engine.rank_members(ONE), TASK, controls=2)
    shown = rows(page, "faithfulness")
    check_rows(shown, [*mine.table(), *point.table()])
    assert shown[-1]["ranking"] == "one" and shown[-1]["size"] == str(len(ONE.sites))
    metrics = {m.label: m.value for m in page.metric}
    assert metrics["CPR"] == f"{mine.cpr():.3f}" and metrics["CMD"] == f"{mine.cmd():.3f}"
    assert "everything else is as in the corrupted run" in said(page)
    assert "of the clean model" not in said(page)
    code = codes_of(page, "faithfulness_curve")[0]
    with redirect_stdout(StringIO()) as out:
        exec(code, {})
    assert out.getvalue().startswith(f"{mine.cpr()} {mine.cmd()}")


def test_edges_and_orders_are_in_the_link() -> None:
    page = curve_page(ranked_by="edges", curve_order="signed", n_random="0", ablations="0.1")
    ranked = engine.rank_members(engine.edge_attribution(engine.Experiment("seq-gpt2"), TASK.pairs))
    mine = engine.faithfulness_curve(ranked, TASK, "signed", controls=0)
    assert {m.label: m.value for m in page.metric}["CPR"] == f"{mine.cpr():.3f}"
    assert "No random rankings were asked for" in said(page)
    assert "of the clean model: what is switched off is not in it" in said(page)
    assert page.query_params["ranked_by"] == "edges"
    assert page.query_params["curve_order"] == "signed"


def test_a_file_is_read_and_refused_in_words() -> None:
    page = curve_page(ranked_by="file")
    assert "Paste a ranking" in said(page)
    for text, words in (("{", "This is not JSON"), ('{"cfg": {}}', "an object with “cfg”")):
        page.text_area(key="_mib_text").set_value(text).run()
        assert not page.exception and words in said(page)
    swept = engine.sweep(engine.Experiment("seq-gpt2", method="resample"), TASK.pairs, at="answer")
    written = engine.write_mib(engine.rank_members(swept))
    page = waited(page.text_area(key="_mib_text").set_value(written).run())
    mine = engine.faithfulness_curve(engine.rank_members(swept), TASK, controls=2)
    check_rows(rows(page, "faithfulness"), mine.table())


def test_what_is_not_there_yet_or_cannot_be_is_said() -> None:
    assert "begin one under Search" in said(curve_page(ranked_by="search"))
    for query, words in (
        ({"over": "prompt", "prompt": "1 2 3", "corrupted": ""}, "as many tokens"),
        ({"n_random": "many"}, "not a whole number"),
        ({"over": "written", "pairs": "prompt,answer\n1 2, 3"}, "no corrupted prompt"),
    ):
        page = curve_page(**query)
        assert words in said(page), (query, said(page))
