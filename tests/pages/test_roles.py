"""The Roles page by Streamlit's own AppTest."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import engine
from tests.pages.test_attribution import rows_of, said
from tests.pages.test_bad_input import page_of
from tests.pages.test_explore import component, unescaped
from tests.support.waiting import waited


def roles_page(**query: str) -> AppTest:
    page = waited(page_of("roles", **query))
    assert not page.exception and not page.error, said(page)
    return page


@pytest.mark.parametrize(
    ("words", "outputs", "by"),
    [("numerals", None, 1), ("months", None, 0), ("months", "ordinals", 1), ("weekdays", None, -1)],
)
def test_the_grid_and_the_table_are_the_engines_scores(
    words: str, outputs: str | None, by: int
) -> None:
    more = {} if outputs is None else {"role_outputs": outputs}
    page = roles_page(role_words=words, places_on=str(by), **more)
    result = engine.ov_scores("seq-gpt2", words, outputs)
    grid = component(page, "head_grid")
    values = np.array(grid["values"], float).reshape(6, 9)
    np.testing.assert_allclose(values[:, :8], result.score(by))
    assert np.isnan(values[:, 8]).all()
    rows = rows_of(component(page, "figure")["csv"])
    assert [row["site"] for row in rows] == [row["site"] for row in result.table(by)]
    shown = page.main.dataframe[0].value
    assert list(shown["site"]) == [row["site"] for row in rows]
    metrics = {one.label: one.value for one in page.metric}
    above = sum(float(row["score"]) >= result.above_chance(by) for row in rows)
    assert metrics["Heads above chance"] == f"{above} of 48"
    assert metrics[f"Best head: {rows[0]['site']}"] == f"{float(rows[0]['score']):.0%}"
    told = unescaped(said(page))
    assert f"Share of {result.n(by)} words" in told and "not whether it ever looks" in told


def test_one_head_is_told_word_by_word() -> None:
    page = roles_page(role_words="months", role_head="0.2")
    words = engine.ov_scores("seq-gpt2", "months").words("0.2")
    shown = page.main.dataframe[1].value
    assert list(shown["looking at"]) == [row["input"] for row in words]
    assert list(shown["rank"]) == [row["rank"] for row in words]
    assert [bool(one) for one in shown["right"]] == [row["right"] for row in words]
    told = unescaped(said(page))
    assert f"0.2: {sum(bool(row['right']) for row in words)} of 11 right" in told


def test_words_of_ones_own_are_scored_and_the_python_gives_them() -> None:
    page = roles_page(role_words="your own", own_words="one two three four", taken_for="embedding")
    code = next(one.value for one in page.code if "ov_scores(" in one.value)
    with redirect_stdout(written := io.StringIO()):
        exec(code, {})
    lines = written.getvalue().splitlines()
    meant = engine.ov_scores("seq-gpt2", "one two three four".split(), embedding="embedding")
    assert lines == [str(row) for row in meant.table(1)]
    assert "its embedding" in unescaped(said(page))


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"places_on": "30"}, "No word has another"),
        ({"places_on": "next"}, "is not a whole number"),
        ({"top_tokens": "0"}, "1 to 20 tokens"),
        ({"role_words": "your own", "own_words": "one one two"}, "none of them twice"),
        ({"role_words": "your own", "own_words": ""}, "3 to 200 words"),
        ({"role_head": "m1"}, "m1 has no score"),
        ({"role_head": "99.1"}, "99.1 has no score"),
        ({"model": "seq-llama", "role_words": "numerals"}, "the tokenizer splits 20"),
    ],
)
def test_what_cannot_be_scored_is_said_and_the_page_stands(
    query: dict[str, str], sentence: str
) -> None:
    page = waited(page_of("roles", **query))
    assert not page.exception and sentence in unescaped(said(page)), said(page)
    assert component(page, "head_grid")["heads"]
