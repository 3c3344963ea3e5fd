"""The Length page by Streamlit's own AppTest: what needs no browser."""

from __future__ import annotations

import csv
import io
import json
from contextlib import redirect_stdout
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import engine
from tests.pages.test_bad_input import page_of
from tests.pages.test_explore import component, unescaped
from tests.pages.test_sweep import said
from tests.support.opening import codes_of

E = engine.Experiment(
    "seq-gpt2", "1 2 3 4", "8 1 6 3", " 5", " 4", ablations="1.3", method="resample"
)
ASKED = {"ablations": "1.3", "method": "resample", "corrupted": "8 1 6 3"}
FAMILY = {"over": "family", "task": "months", "n_pairs": "5", "seed": "1", "ablations": "a1"}


def length_page(**query: str) -> AppTest:
    page = page_of("length", **query)
    assert not page.exception and not page.error, said(page)
    return page


def csv_of(page: AppTest) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(component(page, "figure")["csv"])))


def runs(page: AppTest) -> list[Any]:
    drawn: list[Any] = component(page, "figure")["figure"]["data"]
    return drawn


def test_it_draws_both_runs_of_the_prompt_and_tabulates_what_is_asked() -> None:
    page = length_page(**ASKED, length_metric="logit_diff")
    result = engine.score_lengths(E)
    clean, ablated = runs(page)
    assert (clean["name"], clean["line"]["dash"]) == ("clean", "solid")
    assert (ablated["name"], ablated["line"]["dash"]) == ("ablated", "dash")
    assert clean["y"] == pytest.approx(result.clean.logit_diff[0].tolist(), abs=1e-4)
    assert ablated["y"] == pytest.approx(result.values("ablated", "logit_diff")[0], abs=1e-4)
    (table,) = [one.value for one in page.main.dataframe]
    assert table["prompt"].tolist() == ["1", "1 2", "1 2 3", "1 2 3 4"]
    assert table["answer"].tolist() == ["␣2", "␣3", "␣4", "␣5"]
    assert table["distractor"].tolist() == ["␣1", "␣2", "␣3", "␣4"]
    told = said(page)
    for part in ("of one prompt", "positive", "resample 1.3", "ablated − clean", "does not show"):
        assert part in told


def test_a_familys_mean_and_spread_are_the_engines_and_the_code_gives_them() -> None:
    page = length_page(**FAMILY)
    pairs = engine.task("months", "seq-gpt2", 5, seed=1).pairs
    result = engine.score_lengths(engine.Experiment("seq-gpt2", ablations="a1"), pairs)
    rows = csv_of(page)
    assert len(rows) == 4 * 4 * 2
    for row, mine in zip(rows, result.table(), strict=True):
        assert {n: row[n] for n in ("metric", "run")} == {n: mine[n] for n in ("metric", "run")}
        assert (row["terms"], row["n"]) == (str(mine["terms"]), "5")
        for number in ("mean", "std"):
            assert float(row[number]) == pytest.approx(mine[number], abs=1e-4)
    _, ablated = runs(page)
    assert ablated["error_y"]["array"] and ablated["line"]["dash"] == "dash"
    assert "mean of 5 prompts, bars one standard deviation" in said(page)
    (code,) = codes_of(page, "result.table()")
    with redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    assert len(printed.getvalue().splitlines()) == len(rows)
    (table,) = [one.value for one in page.main.dataframe if "terms" in one.value]
    assert table["prompts"].tolist() == ["5"] * 4
    columns = ["terms", "prompts", "clean", "± clean", "ablated", "± ablated", "change, points"]
    assert list(table) == columns


def test_its_choices_are_in_the_link() -> None:
    page = length_page(length_metric="rank", over="family", task="weekdays", n_pairs="3")
    assert page.query_params["length_metric"] == "rank" and page.query_params["over"] == "family"
    assert (
        component(page, "figure")["figure"]["layout"]["yaxis"]["title"]["text"] == "answer's rank"
    )
    before = page.session_state["_lengths"].result
    page.button_group(key="length_metric").set_value("prob").run()
    assert "length_metric" not in page.query_params
    assert page.session_state["_lengths"].result is before


def test_pasted_pairs_are_asked() -> None:
    pairs = "\n".join(
        json.dumps({"prompt": prompt, "answer": answer, "distractor": last})
        for prompt, answer, last in (("1 2 3", " 4", " 3"), ("one two", " three", " two"))
    )
    page = length_page(over="written", pairs=pairs)
    ns = [row["n"] for row in csv_of(page) if row["metric"] == "prob"]
    assert ns == ["2", "2", "1"] and len(runs(page)) == 1


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"prompt": "Hello"}, "no sequence that could be shown"),
        ({"over": "family", "task": "dates", "n_pairs": "3"}, "no sequence that could be shown"),
        ({"prompt": "Hello", "ablations": "1.3", "method": "magic"}, "no sequence"),
        ({"ablations": "1.3", "positions": "2"}, "With 1 and 2 terms shown, there is no ablated"),
        ({"distractor": "", "length_metric": "logit_diff"}, "There is no distractor"),
    ],
)
def test_what_cannot_be_shown_is_said_in_words(query: dict[str, str], says: str) -> None:
    assert says in said(length_page(**query))


@pytest.mark.parametrize(
    ("query", "says"),
    [({"answer": ""}, "has no answer"), ({"over": "family", "n_pairs": "many"}, "Pairs")],
)
def test_what_cannot_be_asked_is_an_error_in_words(query: dict[str, str], says: str) -> None:
    page = page_of("length", **query)
    assert not page.exception and says in unescaped(page.error[0].value)
    assert component(page, "head_grid")["layers"] == 6


def test_a_change_refused_of_a_family_leaves_the_clean_half_and_is_mended_by_a_click() -> None:
    page = length_page(**(FAMILY | {"ablations": "13.1"}))
    assert [one["name"] for one in runs(page)] == ["clean"]
    assert any("layers are 0 to 5" in one.value for one in page.warning)
    (button,) = [b for b in page.button if str(b.key).startswith("_mend")]
    page = button.click().run()
    assert not page.warning and not page.error and page.text_input(key="sites").value == ""
