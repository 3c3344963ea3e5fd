"""The Roles page by Streamlit's own AppTest."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import engine
from tests.pages.test_attribution import rows_of, said
from tests.pages.test_bad_input import page_of
from tests.pages.test_explore import component, unescaped
from tests.support.opening import codes_of
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
    code = codes_of(page, "ov_scores(")[0]
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
        ({"role_words": "your own", "own_words": "zyxwv vutsr ponml"}, "the tokenizer splits 3"),
    ],
)
def test_what_cannot_be_scored_is_said_and_the_page_stands(
    query: dict[str, str], sentence: str
) -> None:
    page = waited(page_of("roles", **query))
    assert not page.exception and sentence in unescaped(said(page)), said(page)
    assert component(page, "head_grid")["heads"]


def test_what_heads_look_at_is_the_engines_scores() -> None:
    page = roles_page(roles_show="attends", looks_on="-1", role_head="4.0", keys_through="0.2")
    result = engine.qk_scores("seq-gpt2", "months", keys_through="0.2")
    values = np.array(component(page, "head_grid")["values"], float).reshape(6, 9)[:, :8]
    np.testing.assert_allclose(values, result.score(-1))
    heads, words = (one.value for one in page.main.dataframe[:2])
    assert list(heads["site"]) == [row["site"] for row in result.table(-1)]
    assert list(words["4.0 looks most at"]) == [row["looks"] for row in result.tops("4.0", -1)]
    rows = rows_of(component(page, "figure")["csv"])
    assert [row["score"] for row in rows] == [str(row["score"]) for row in result.words("4.0")]
    told = unescaped(said(page))
    assert "Share of 11 words from which a head looks most at the word before, of 12" in told
    assert "what 0.2 writes of a word" in told and "other tokens compete" in told


@pytest.mark.parametrize("head", ["", "3.1"])
def test_whom_heads_read_is_the_engines_composition(head: str) -> None:
    page = roles_page(roles_show="reads", composed_into="q", role_head=head)
    result = engine.composition("seq-gpt2", "q")
    values = np.array(component(page, "head_grid")["values"], float).reshape(6, 9)[:, :8]
    np.testing.assert_allclose(values, result.grid(head or None).heads)
    shown = page.main.dataframe[0].value
    table = result.table(200, head or None)
    assert list(shown["from"]) == [row["sender"] for row in table]
    assert list(shown["into"]) == [f"{row['reader']}.q" for row in table]
    assert "Random maps have" in unescaped(said(page))


def test_scores_of_patterns_are_those_of_the_attention_page() -> None:
    page = roles_page(roles_show="patterns", prompt="1 2 3 1 2", score="induction")
    e = engine.Experiment("seq-gpt2", "1 2 3 1 2", answer=" 5", distractor=" 4")
    scores = engine.attention_overview(e, size=8).clean_scores.induction
    values = np.array(component(page, "head_grid")["values"], float).reshape(6, 9)[:, :8]
    np.testing.assert_allclose(values, scores, rtol=1e-5)
    shown = page.main.dataframe[0].value
    assert shown["site"][0] == "{}.{}".format(*divmod(int(scores.argmax()), 8))
    assert list(shown["induction"]) == sorted(shown["induction"], reverse=True)


def test_a_card_has_all_of_one_head_and_a_link_of_its_own() -> None:
    page = roles_page(roles_show="card", role_head="4.0", role_words="weekdays")
    e = engine.Experiment("seq-gpt2", "1 2 3 4", answer=" 5", distractor=" 4")
    off = engine.next_token(replace(e, ablations=engine.ablations("4.0")), k=1)
    metric = next(one for one in page.metric if one.label == "Logit difference, switched off")
    assert off.clean_logit_diff is not None and off.ablated_logit_diff is not None
    assert metric.value == engine.signed(off.ablated_logit_diff)
    assert metric.delta == engine.signed(off.ablated_logit_diff - off.clean_logit_diff)
    direct = engine.direct_attribution(e).clean.sites[engine.Head(4, 0)]
    told = unescaped(said(page))
    assert f"It writes {engine.signed(direct)} logits" in told
    raises, looks, read = (one.value for one in page.main.dataframe[:3])
    ov, qk = engine.ov_scores("seq-gpt2", "weekdays"), engine.qk_scores("seq-gpt2", "weekdays")
    assert list(raises["score"]) == [f"{ov.score(by)[4, 0]:.0%}" for by in (0, 1, -1)]
    assert list(looks["score"]) == [f"{qk.score(by)[4, 0]:.0%}" for by in (0, 1, -1)]
    best = engine.composition("seq-gpt2", "q").table(1, "4.0")[0]
    assert (read["from"][0], read["into"][0]) == (best["sender"], f"{best['reader']}.q")
    (link,) = (one.value for one in page.code if "roles_show=card" in one.value)
    assert "role_head=4.0" in link and "role_words=weekdays" in link
    waited(next(one for one in page.button if one.label == "Switch it off").click().run())
    assert page.text_input(key="sites").value == "4.0"
    waited(next(one for one in page.button if one.label == "Switch it on").click().run())
    assert page.text_input(key="sites").value == "" and not page.exception


def test_a_card_asked_of_a_task_has_the_mean_over_its_pairs() -> None:
    page = roles_page(
        roles_show="card",
        role_head="3.1",
        over="family",
        task="numerals",
        n_pairs="4",
        ablations="0.1",
    )
    task = engine.task("numerals", "seq-gpt2", n=4)
    score = engine.score_task(
        "seq-gpt2", task, engine.Experiment("seq-gpt2", ablations=engine.ablations("3.1"))
    )
    assert score.ablated is not None
    change = score.ablated.logit_diff - score.clean.logit_diff
    told = unescaped(said(page))
    assert f"{abs(change.mean()):.3f} ± {change.std():.3f} logits over 4 pairs" in told
    assert "it alone, by zero, beside the clean model, other changes left out" in told


def test_a_card_in_which_little_is_known_says_why() -> None:
    page = waited(
        page_of(
            "roles",
            roles_show="card",
            role_words="your own",
            own_words="zyxwv vutsr ponml",
            answer="",
        )
    )
    assert not page.exception
    shown = unescaped(said(page)) + " ".join(one.value for one in page.info)
    assert "the tokenizer splits 3" in unescaped(shown) and "give an answer" in unescaped(shown)
    assert page.main.dataframe  # composition needs no words


@pytest.mark.parametrize("one", engine.PUBLISHED, ids=lambda one: one.name)
def test_published_settings_are_one_click_and_told_beside_what_was_reported(
    one: engine.PublishedScore,
) -> None:
    page = roles_page(role_words="weekdays", top_tokens="3", places_on="2")
    (pills,) = (each for each in page.pills if each.key == "_published")
    waited(pills.set_value(one.name).run())
    assert not page.exception and not page.error, said(page)
    asked = page.session_state["_roles_writes"].question
    assert asked == one.question("seq-gpt2")
    reported = page.main.dataframe[0].value
    assert list(reported["reported of gpt2"]) == [f"{share:.1%}" for _, share in one.reported]
    result = engine.begin(asked).result()
    assert f"Share of {result.n(one.by)} words" in unescaped(said(page))


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"roles_show": "attends", "looked_distance": "0"}, "1 token or more"),
        ({"roles_show": "attends", "keys_through": "9.9"}, "is no head"),
        ({"roles_show": "attends", "looks_on": "x"}, "is not a whole number"),
        ({"roles_show": "reads", "role_head": "m1"}, "is no head"),
        ({"roles_show": "card", "role_head": "17.1"}, "is no head of this model"),
        ({"read_in": "in fours", "role_words": "your own", "own_words": "one two three"}, "five"),
    ],
)
def test_what_cannot_be_shown_is_said_and_the_page_stands(
    query: dict[str, str], sentence: str
) -> None:
    page = waited(page_of("roles", **query))
    assert not page.exception and sentence in unescaped(said(page)), said(page)
    assert component(page, "head_grid")["heads"]
