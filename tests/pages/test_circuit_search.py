"""The search on the Circuits page by Streamlit's own AppTest: what needs no browser."""

from __future__ import annotations

import csv
import io
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import engine
from pages._parts import work
from tests.pages.test_explore import unescaped
from tests.pages.test_sweep import said, sent
from tests.support.opening import codes_of, page_at
from tests.support.waiting import waited

TASK = engine.task("numerals", "seq-gpt2", 3, seed=1)
ASKED = {"over": "family", "model": "seq-gpt2", "task": "numerals", "n_pairs": "3", "seed": "1"}
ASKED |= {"n_controls": "2", "threshold": "0.6"}


@pytest.fixture(autouse=True)
def own_searches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SWITCHBOARD_SEARCHES", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the search that a page is asked for, once it is over."""
    search = engine.Search("seq-gpt2", TASK, threshold=0.6)
    path = tmp_path_factory.mktemp("searched") / f"{search.digest}.json"
    engine.begin(engine.Discover(search, controls=0, save=str(path))).result()
    return path


@pytest.fixture
def found_before(own_searches: Path, searched: Path) -> None:
    """The search is over before a page asks for it."""
    shutil.copy(searched, own_searches)


def opened(begin: bool = True, **query: str) -> AppTest:
    page = page_at("circuits", {**ASKED, **query})
    if begin and any(b.key == "_begin_search" for b in page.button):
        page.button(key="_begin_search").click().run()
    return waited(page)


def test_nothing_is_searched_before_it_is_asked_for() -> None:
    page = opened(begin=False)
    assert page.session_state["_search"] is None and not page.exception
    assert any(b.label == "Search" for b in page.button)


@pytest.mark.parametrize(
    "rule",
    [{}, {"strategy": "gradient", "search_metric": "kl", "threshold": "0.3"},
     {"direction": "forward", "nodes": "heads", "search_method": "zero"}, {"per": "position"},
     {"strategy": "eap-ig"}],
)  # fmt: skip
def test_the_switches_and_the_csv_are_the_engines_numbers(rule: dict[str, Any]) -> None:
    page = opened(**rule)
    assert not page.exception
    search = engine.Search(
        "seq-gpt2",
        TASK,
        by=rule.get("strategy", "pruning"),
        threshold=float(rule.get("threshold", 0.6)),
        metric=rule.get("search_metric", "logit_diff"),
        method=engine.Method.parse(rule.get("search_method", "mean_by_position")),
        direction=rule.get("direction", "backward"),
        mlps="nodes" not in rule,
        per_position="per" in rule,
    )
    found = engine.begin(engine.Discover(search, controls=0)).result()
    values = np.array(sent(page, "head_grid")["values"], dtype=float).reshape(6, 9)
    np.testing.assert_allclose(values[:, :8], found.grid().heads, atol=1e-4)
    if search.mlps:
        np.testing.assert_allclose(values[:, 8], found.grid().mlps, atol=1e-4)
    colours, drawn = sent(page, "head_grid")["colours"], sent(page, "figure")["figure"]["data"]
    for what in ("colorscale", "zmin", "zmax"):  # one colour for one result, in grid and map
        assert colours[what] == drawn[0][what]
    assert colours["zero"] == drawn[1]["colorscale"][0][1]
    rows = list(csv.DictReader(io.StringIO(sent(page, "figure")["csv"])))
    assert [row["site"] for row in rows] == [str(t.node.site) for t in found.trials]
    assert [row["removed"] == "True" for row in rows] == [t.removed for t in found.trials]
    shown = {m.label: m.value for m in page.metric}
    assert shown["Nodes kept"].startswith(f"{len(found.nodes)} of ")


def test_the_python_gives_the_same_trials_and_verdict() -> None:
    page = opened(which="right")
    rows = list(csv.DictReader(io.StringIO(sent(page, "figure")["csv"])))
    code = codes_of(page, "engine.discover(")[0]
    names: dict = {}
    with redirect_stdout(io.StringIO()) as printed:
        exec(code, names)
    assert len(printed.getvalue().splitlines()) == len(rows)
    mine = names["result"].table()
    np.testing.assert_allclose(
        [float(row["logit_diff"]) for row in rows], [row["logit_diff"] for row in mine], atol=1e-4
    )
    kept = page.session_state["_search"].result
    assert names["result"].circuit.sites == kept.circuit.sites
    assert names["result"].verdict == kept.verdict


def test_it_is_stopped_and_goes_on_where_it_was(
    monkeypatch: pytest.MonkeyPatch, own_searches: Any
) -> None:
    page = opened(begin=False)
    monkeypatch.setattr(work, "AT_FIRST", 0.0)
    page.button(key="_begin_search").click().run()
    page.button(key="_stop_search").click().run()
    page = waited(page)
    stopped = page.session_state["_search"].result
    assert stopped is None or not stopped.done
    assert "Stopped after" in said(page)
    next(b for b in page.button if b.label == "Go on").click().run()
    done = waited(page).session_state["_search"].result
    assert done.done and list(own_searches.glob("*.json"))
    again = opened(begin=False)  # in another session: it is there already
    assert again.session_state["_search"].result.circuit == done.circuit


def test_a_damaged_file_or_a_folder_that_is_none_is_said_beside_the_result(
    own_searches: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = engine.Search("seq-gpt2", TASK, threshold=0.6)
    engine.search_path(search).write_text("{")
    page = opened(begin=False)
    assert page.session_state["_search"].result.done and not page.exception
    assert "is damaged: it is set aside as" in said(page)
    (own_searches / "file").write_text("")
    monkeypatch.setenv("SWITCHBOARD_SEARCHES", str(own_searches / "file"))
    page = opened()
    assert page.session_state["_search"].result.done and not page.exception
    assert "This search is not saved" in said(page)


def test_what_is_found_goes_into_the_library_and_onto_the_grid(found_before: None) -> None:
    page = opened(begin=False)
    circuit = page.session_state["_search"].result.circuit
    next(b for b in page.button if b.label == "Keep it in the library").click().run()
    assert engine.read_circuits(page.session_state["circuits"])[0].sites == circuit.sites
    next(b for b in page.button if b.label == "Keep only it in the grid").click().run()
    assert page.session_state["verb"] == "keep"
    assert "keep" in page.query_params["ablations"]


def test_every_score_says_its_sign_rule_method_references_and_how_many(found_before: None) -> None:
    told = said(opened(begin=False))
    for part in ("mean_by_position", "3 corrupted prompts", "3 pairs", "less than 0.6 is lost"):
        assert part in told
    page = opened(begin=False, judged="same")
    assert "very pairs it was found on" in " ".join(x.value for x in page.info)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"threshold": "many"}, "At most"),
        ({"threshold": "1.5"}, "below 1"),
        ({"threshold": "0"}, "above 0"),
        ({"n_controls": "-1"}, "0 to 1,000 controls"),
        ({"over": "prompt", "prompt": "1 2 3 4", "corrupted": "8 1 6 3", "answer": ""},
         "no answer"),
        ({"over": "written", "pairs": "prompt,corrupted,answer\n1 2 3,7 1 9, 4"}, "distractor"),
        ({"over": "prompt", "prompt": "1 2 3 4", "corrupted": "1", "answer": " 5",
          "distractor": " 4"}, "tokens long"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_said_and_the_page_stands(
    query: dict[str, Any], says: str
) -> None:
    page = opened(**query)
    assert says in said(page) + " ".join(x.value for x in page.info) and not page.exception


MANY = {"runs": "3", "strategy": "nap-ig", "gradient_steps": "3", "n_controls": "0"}


def many_of(page: AppTest) -> AppTest:
    """The page once its runs are over."""
    page.button(key="_begin_runs").click().run()
    return waited(page)


def test_runs_over_seeds_are_the_engines_numbers_and_their_python_gives_them() -> None:
    page = many_of(opened(begin=False, **MANY))
    assert not page.exception and not page.error
    found = engine.discover_many(TASK, by="nap-ig", steps=3, threshold=0.6, runs=3, controls=0)
    values = np.array(sent(page, "head_grid")["values"], dtype=float).reshape(6, 9)
    grid = found.grid()
    np.testing.assert_allclose(values[:, :8], grid.heads, atol=1e-9)
    np.testing.assert_allclose(values[:, 8], grid.mlps, atol=1e-9)
    rows = list(csv.DictReader(io.StringIO(sent(page, "figure")["csv"])))
    assert [(r["site"], int(r["kept"])) for r in rows] == [
        (r["site"], r["kept"]) for r in found.table()
    ]
    assert {m.label: m.value for m in page.metric}["Runs"] == "3 of 3"
    assert found.verdict in unescaped(" ".join(x.value for x in page.info))
    code = codes_of(page, "engine.discover_many(")[0]
    with redirect_stdout(io.StringIO()) as printed:
        exec(code, {})
    assert printed.getvalue().splitlines()[0] == found.verdict
    next(b for b in page.button if b.label == "Keep the consensus in the library").click().run()
    kept = engine.read_circuits(page.session_state["circuits"])[0]
    assert kept.sites == found.consensus.sites and "half of 3 runs" in kept.name


def test_runs_are_of_pairs_that_the_model_gets_right_where_those_are_kept() -> None:
    page = many_of(opened(begin=False, **MANY, which="right", judged="same"))
    result = page.session_state["_many_searches"].result
    assert result.done and not any(run.fresh for run in result.runs)
    for run in result.runs:
        assert engine.score_task("seq-gpt2", run.search.task).clean.right.all()
    assert "the pairs it was found on" in said(page)


def test_runs_are_stopped_and_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(begin=False, **MANY)
    monkeypatch.setattr(work, "AT_FIRST", 0.0)
    page.button(key="_begin_runs").click().run()
    page.button(key="_stop_many_searches").click().run()
    page = waited(page)
    assert "of 3 runs." in said(page)
    next(b for b in page.button if b.label == "Go on").click().run()
    assert waited(page).session_state["_many_searches"].result.done


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"runs": "0"}, "2 to 50 times, not 0"),
        ({"runs": "1000"}, "2 to 50 times, not 1,000"),
        ({"runs": "two"}, "Runs: “two” is not a whole number"),
        ({"runs": "2", "over": "prompt", "prompt": "1 2 3 4", "corrupted": "8 1 6 3",
          "answer": " 5", "distractor": " 4"}, "One pair gives one search"),
        ({"strategy": "nap-ig", "per": "position"}, "over all positions together"),
        ({"strategy": "eap-ig", "gradient_steps": "0"}, "1 to 1,000 steps, not 0"),
        ({"strategy": "eap-ig", "gradient_steps": "x"}, "Steps: “x” is not a whole number"),
    ],
)  # fmt: skip
def test_runs_and_steps_that_cannot_be_are_said(query: dict[str, Any], says: str) -> None:
    page = opened(begin=False, **query)
    assert says in said(page) and not page.exception
