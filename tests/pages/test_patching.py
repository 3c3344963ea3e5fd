"""The Patching page by Streamlit's own AppTest: what needs no browser."""

from __future__ import annotations

import csv
import io
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import engine
from tests.pages.test_sweep import said, sent
from tests.support.opening import codes_of, page_at
from tests.support.some import some
from tests.support.waiting import waited

E = engine.Experiment("seq-gpt2", "1 2 3 4", "8 1 6 3", " 5", " 4")


def opened(**query: str) -> AppTest:
    whole = {name: str(value) for name, value in E.to_dict().items()}
    return waited(page_at("patching", {**whole, **query}))


def numbers(values: list[Any]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])


@pytest.mark.parametrize("way", engine.PATCH_DIRECTIONS)
@pytest.mark.parametrize("place", engine.PATCH_PLACES)
def test_the_grid_has_the_engines_numbers_and_the_two_prompts(place: str, way: str) -> None:
    page = opened(place=place, way=way)
    assert not page.exception and not page.error, said(page)
    grid, result = sent(page, "head_grid"), engine.patch(E, place=place, direction=way)
    values, lands = result.shown("share"), [None] * 48
    if place in engine.HEAD_PLACES:
        expected = values[0].ravel()
    else:
        expected, lands = values[..., 0].T.ravel(), [*range(4)] * 6
    np.testing.assert_allclose(numbers(grid["values"]), expected, atol=1e-4)
    assert [tuple(token.values()) for token in grid["tokens"]] == [
        (0, "1", "8", True), (1, "␣2", "␣1", True), (2, "␣3", "␣6", True), (3, "␣4", "␣3", True)
    ]  # fmt: skip
    assert grid["across"] == (place not in engine.HEAD_PLACES) and grid["lands"] == lands
    assert grid["into"] == {"noise": "clean", "denoise": "corrupted"}[way]
    assert not grid["guesses"]
    assert grid["names"][0] == {"resid_pre": "r0 @0", "resid_mid": "r0.mid @0",
        "attn_out": "a0 @0", "mlp_out": "m0 @0", "z": "0.0"}.get(place, f"0.0.{place}")  # fmt: skip
    better_is_blue = way == "denoise"
    assert (grid["colours"]["colorscale"][-1][1] == engine.PALETTE["more"]) == better_is_blue
    assert ("brings all of it back" in said(page)) == better_is_blue


def test_heads_at_each_position_are_shown_where_they_change_most() -> None:
    page = opened(place="q", way="noise", patched_at="position")
    grid = sent(page, "head_grid")
    result = engine.patch(E, place="q", direction="noise", per_position=True)
    best = np.abs(result.shown("change")).argmax(0)
    shares = np.take_along_axis(result.shown("share"), best[None], 0)[0]
    np.testing.assert_allclose(numbers(grid["values"]), shares.ravel(), atol=1e-4)
    assert grid["names"][9] == f"1.1.q @{best[1, 1]}"
    assert grid["lands"] == best.ravel().tolist()


@pytest.mark.parametrize("place", ["mlp_out", "v"])
def test_the_prompts_are_marked_where_they_differ_in_any_pair(place: str) -> None:
    own = sent(opened(corrupted="1 2 6 4", place=place), "head_grid")["tokens"]
    assert [token["differs"] for token in own] == [False, False, True, False]
    many = sent(opened(over="family", task="months", n_pairs="4", place=place), "head_grid")
    assert [tuple(token.values()) for token in many["tokens"]] == [
        (p, "·", "·", True) for p in range(4)
    ]


def test_a_patch_of_the_experiment_is_marked_and_told_with_all_that_is_changed() -> None:
    page = opened(way="noise", changes="resample r3 @1")
    assert sent(page, "head_grid")["picked"] == [3 * 4 + 1]
    made = engine.next_token(
        engine.Experiment.from_dict(E.to_dict() | {"changes": "resample r3 @1"})
    )
    told = next(m for m in page.metric if m.label == "With all that is changed")
    assert told.value == engine.signed(some(made.ablated_logit_diff))
    assert sent(opened(way="denoise", changes="resample r3 @1"), "head_grid")["picked"] == []


def test_the_csv_and_the_python_are_the_same_numbers() -> None:
    page = opened(over="family", task="months", n_pairs="4", place="z", way="noise")
    rows = list(csv.DictReader(io.StringIO(sent(page, "figure")["csv"])))
    assert len(rows) == 48 and rows[0]["site"] == "0.0" and rows[0]["n"] == "4"
    code = codes_of(page, "engine.patch(")[0]
    names: dict = {}
    with redirect_stdout(io.StringIO()):
        exec(code, names)
    mine = [row["share"] for row in names["result"].table()]
    np.testing.assert_allclose([float(row["share"]) for row in rows], mine, atol=1e-4)
    assert "Mean of 4 prompts" in said(page)


def test_prompts_that_do_not_fit_offer_one_that_does() -> None:
    page = opened(corrupted="8 1")
    assert "The prompt has 4" in said(page) and "it has 2, “8 1”" in said(page)
    page = waited(page.button(key="_make_corrupted").click().run())
    assert not page.error and "of as many tokens" not in said(page)
    assert len(sent(page, "head_grid")["values"]) == 24
    assert "changes" not in page.query_params


def test_prompts_that_score_alike_and_an_answer_that_is_not_there_are_told() -> None:
    page = opened(answer="")
    assert "no answer" in said(page) and not page.exception
    page = opened(distractor="")
    assert page.metric[0].label == "Clean log-probability"
