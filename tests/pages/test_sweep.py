"""The Sweep page by Streamlit's own AppTest: what needs no browser."""

from __future__ import annotations

import csv
import io
import json
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import engine
from pages._parts import work
from tests.support.opening import codes_of, page_at
from tests.support.some import some
from tests.support.waiting import waited

E = engine.Experiment(model="seq-gpt2", method="mean_by_position")
TASK = engine.task("months", "seq-gpt2", 6, seed=1)
ASKED = {"over": "family", "model": E.model, "method": "mean_by_position", "task": "months"}
ASKED |= {"n_pairs": "6", "seed": "1"}


def opened(**query: str) -> AppTest:
    return waited(page_at("sweep", {**ASKED, **query}))


def sent(page: AppTest, name: str) -> dict:
    protos = [c.proto for c in page.get("bidi_component")]
    return next(json.loads(p.json) for p in protos if p.component_name.split(".")[-1] == name)


def said(page: AppTest) -> str:
    parts = [*page.error, *page.warning, *page.info, *page.caption]
    return " ".join(p.value for p in parts).replace("\\", "")


def cells(heads: np.ndarray, mlps: np.ndarray) -> np.ndarray:
    return np.concatenate([heads, mlps[:, None]], axis=1).ravel()


@pytest.fixture(scope="module")
def swept() -> engine.SweepResult:
    """What the engine says of all that a page is asked for."""
    return engine.sweep(E, TASK.pairs, at="answer")


@pytest.mark.parametrize("metric", engine.METRICS)
def test_the_switches_are_tinted_by_the_engines_numbers(
    metric: str, swept: engine.SweepResult
) -> None:
    page = opened(metric=metric)
    grid, drawn = sent(page, "head_grid"), sent(page, "figure")["figure"]["data"][0]
    heads, mlps = (swept.shown(of, metric, "change") for of in ("heads", "mlps"))
    np.testing.assert_allclose(grid["values"], cells(heads, mlps), atol=1e-4)
    for what in ("colorscale", "zmin", "zmax"):  # one colour for one result, in grid and map
        assert grid["colours"][what] == drawn[what]
    blue_is_less = grid["colours"]["colorscale"][0][1] == engine.PALETTE["more"]
    assert blue_is_less == (metric in ("rank", "kl"))


def test_the_csv_and_the_python_are_the_same_numbers() -> None:
    page = opened()
    rows = list(csv.DictReader(io.StringIO(sent(page, "figure")["csv"])))
    assert [row["site"] for row in rows[:9]] == [*(f"0.{h}" for h in range(8)), "m0"]
    code = codes_of(page, "engine.sweep(")[0]
    names: dict = {}
    with redirect_stdout(io.StringIO()) as printed:
        exec(code, names)
    assert len(printed.getvalue().splitlines()) == len(rows)
    mine = [row["logit_diff"] for row in names["result"].table()]
    np.testing.assert_allclose([float(row["logit_diff"]) for row in rows], mine, atol=1e-4)


def test_what_is_off_is_given_only_where_asked() -> None:
    alone, given = opened(ablations="m4"), opened(ablations="m4", baseline="given")
    one, two = (engine.sweep(e, TASK.pairs) for e in (E, replace(E, ablations="m4")))
    for page, found in ((alone, one), (given, two)):
        values = cells(*(found.shown(of, "logit_diff", "change") for of in ("heads", "mlps")))
        np.testing.assert_allclose(sent(page, "head_grid")["values"], values, atol=1e-4)
    together = engine.score_task(E.model, TASK, replace(E, ablations="m4")).ablated
    assert together is not None and together.mean_logit_diff is not None
    shown = {m.label: m.value for m in alone.metric}
    assert shown["All that is off, together"] == f"{together.mean_logit_diff:.3f}"
    assert "All that is off, together" not in {m.label for m in given.metric}
    assert "without m4" in said(given)


def test_position_by_position_names_the_tokens() -> None:
    page = opened(per="position")
    rows = list(csv.DictReader(io.StringIO(sent(page, "figure")["csv"])))
    assert len(rows) == 54 * some(TASK.n_tokens) and rows[0]["position"] == "0"
    one = {"over": "prompt", "prompt": "1 2 3 4", "answer": " 5", "method": "zero"}
    (table,) = [t.value for t in opened(per="position", **one).dataframe if "at" in t.value]
    assert {*table["at"]} == {"0 1", "1 ␣2", "2 ␣3", "3 ␣4"}


def test_a_change_of_metric_sweeps_nothing_anew() -> None:
    page = opened()
    before = page.session_state["_sweep"].result
    page.selectbox(key="metric").set_value("rank").run()
    assert page.session_state["_sweep"].result is before
    page.selectbox(key="method").set_value("zero").run()
    assert page.session_state["_sweep"].result is not before


def test_prompts_the_model_gets_wrong_are_told_and_dropped() -> None:
    pairs = "\n".join(
        json.dumps({"prompt": "1 2 3 4", "corrupted": "7 1 9 3", "answer": a, "distractor": d})
        for a, d in ((" 5", " 4"), (" 9", " 4"))
    )
    page = opened(over="written", pairs=pairs)
    assert any("1 of 2 right" in e.label for e in page.expander)
    assert "gets 1 of the prompts wrong clean" in said(page)
    kept = opened(over="written", pairs=pairs, which="right")
    assert kept.session_state["_sweep"].result.pairs[0].answer == " 5"
    assert len(kept.session_state["_sweep"].result.pairs) == 1


def test_every_number_says_its_sign_method_references_and_how_many() -> None:
    told = said(opened())
    for part in ("ablated − baseline", "mean_by_position", "6 reference prompts", "6 prompts"):
        assert part in told


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"n_pairs": "many"}, "Pairs"),
        ({"n_pairs": "0"}, "1 to 1,000"),
        ({"task": "greater than"}, "with equal numbers of tokens"),
        ({"over": "written", "pairs": ""}, "Paste pairs"),
        ({"over": "written", "pairs": "a,b\n1,2"}, "columns"),
        ({"over": "written", "pairs": "prompt,answer\n1 2 3, 4", "method": "resample"}, "corrupt"),
        ({"over": "prompt", "prompt": "1 2 3", "answer": ""}, "answer"),
        ({"positions": "generated", "per": "position"}, "generated"),
    ],
)
def test_what_cannot_be_swept_is_said_and_the_page_stands(query: dict[str, Any], says: str) -> None:
    page = opened(**query)
    assert says in said(page) and not page.exception
    assert sent(page, "head_grid")["layers"] == 6


def test_a_sweep_that_goes_on_leaves_the_reader_what_was_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(work, "AT_FIRST", 0.0)
    page = opened(over="prompt", prompt="1 2 3 4", answer=" 5", distractor=" 4", method="zero")
    page.text_area(key="prompt").set_value("1 2 1 2").run()
    assert page.text_area(key="prompt").value == "1 2 1 2"
    assert page.query_params["prompt"] == "1 2 1 2"
