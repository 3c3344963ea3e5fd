"""The Features page's views of what features do to an answer, by Streamlit's own AppTest."""

from __future__ import annotations

from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import engine
from tests.pages.test_bad_input import page_of
from tests.pages.test_neurons import figure_rows, said
from tests.support.opening import codes_of
from tests.support.waiting import waited

E = engine.Experiment("seq-gpt2", "1 2 3 4", answer=" 5", distractor=" 4")
SAE = engine.bundled_sae("seq-gpt2-r3")


def features_page(**query: Any) -> AppTest:
    page = waited(page_of("features", **query))
    assert not page.exception and not page.error, said(page)
    return page


def printed(page: AppTest, call: str) -> list[str]:
    code = codes_of(page, f"{call}(")[0]
    with redirect_stdout(written := StringIO()):
        exec(code, {})
    return written.getvalue().splitlines()


def button(page: AppTest, begins: str) -> Any:
    return next(one for one in page.button if one.label.startswith(begins))


def test_features_for_the_answer_are_the_engines_and_the_ticked_are_switched_off() -> None:
    page = features_page(features_show="answer", features_exact="5", random_features="3")
    ranked = engine.rank_features(E, SAE, exact=5, controls=3)
    rows = figure_rows(page)
    assert len(rows) == ranked.n_active + 1
    told = [str(row["node"]) for row in ranked.table()[:6]]
    assert [row["node"] for row in rows[:6]] == told
    assert float(rows[0]["exact"]) == pytest.approx(ranked.table()[0]["exact"], abs=1e-4)
    frames = [one for one in page.main.dataframe if "promotes" in one.value]
    assert [*frames[0].value["node"]] == [name.replace("error", "the error") for name in told]
    assert button(page, "Switch the ticked").disabled
    assert not [one.value for one in page.metric if "-" in one.value + one.delta]  # real minuses
    metrics = {one.label: one.value.replace("−", "-") for one in page.metric}
    assert float(metrics["Without the error"]) == pytest.approx(ranked.spliced.mean(), abs=2e-3)
    assert float(metrics["Without the features"]) == pytest.approx(ranked.emptied.mean(), abs=2e-3)
    ticked = [i for i, name in enumerate(told) if name != "error"][:2]
    page.session_state["_ranked_features"] = {"selection": {"rows": ticked, "columns": []}}
    page = waited(page.run())
    page = waited(button(page, "Switch the ticked").click().run())
    change = engine.switch_off_features(SAE, [told[i] for i in ticked])
    assert page.query_params["changes"] == str(change) == page.session_state["changes"]
    assert page.query_params["saes"] == str(SAE)
    page = waited(button(page, "Let all be").click().run())
    assert page.session_state["changes"] == "" and "changes" not in page.query_params


def test_over_a_family_on_top_of_what_is_off_it_says_so_and_the_python_gives_it() -> None:
    page = features_page(
        features_show="answer", features_exact="3", over="family", n_pairs="3", task="months",
        baseline="given", ablations="1.3", positions="-1",
    )  # fmt: skip
    assert "over 3 prompts" in said(page) and "with zero 1.3 @-1 changed" in said(page)
    assert len(printed(page, "rank_features")) == len(figure_rows(page)) + 1


def test_a_circuit_has_its_curve_and_is_kept_alone_by_a_button() -> None:
    page = features_page(
        features_show="circuit", over="family", n_pairs="3", features_exact="4", n_random="2",
        other_features="zero", circuit_features="30",
    )  # fmt: skip
    pairs = engine.task("numerals", "seq-gpt2", n=3, seed=0).pairs
    own = replace(E, prompt="", answer="", distractor="")
    ranked = engine.rank_features(own, SAE, pairs, exact=4)
    curve = engine.feature_curve(own, SAE, pairs, ranked.order[:4], others="zero", controls=2)
    rows = figure_rows(page)
    found = [float(row["faithfulness"]) for row in rows]
    np.testing.assert_allclose(found, curve.faithfulness, atol=1e-4)
    assert len(printed(page, "feature_curve")) == len(rows) + 1
    metrics = {one.label: one.value for one in page.metric}
    assert metrics["Keep 80%"] == f"{curve.smallest():,}"
    keep = button(page, "Keep only these 30")
    page = waited(keep.click().run())
    change = engine.keep_features(SAE, curve.features(30))
    assert page.query_params["changes"] == str(change) and "-" in str(change)
    assert not page.exception and not page.error, said(page)
    assert [float(row["faithfulness"]) for row in figure_rows(page)] == found  # of the clean model


@pytest.mark.parametrize("click", ["Keep only these 25", "Switch these 25"])
def test_what_a_button_writes_does_what_the_curve_measured(click: str) -> None:
    query = {"over": "family", "n_pairs": "3", "n_random": "0", "feature_order": "signed"}
    pairs = engine.task("numerals", "seq-gpt2", n=3, seed=0).pairs
    pair = pairs[1]
    page = features_page(
        features_show="circuit", circuit_features="25", prompt=pair.prompt, answer=pair.answer,
        distractor=pair.distractor, **query,
    )  # fmt: skip
    assert "their mean over these 3 prompts" in said(page)
    (row,) = (row for row in figure_rows(page) if row["size"] == "25")
    page = waited(button(page, click).click().run())
    assert not page.exception and not page.error, said(page)
    link = {name: page.query_params[name] for name in ("changes", "saes")}
    assert "mean_by_position f3." in str(link["changes"])
    e = engine.Experiment(
        "seq-gpt2", pair.prompt, "", pair.answer, pair.distractor, changes=link["changes"],
        saes=link["saes"], references=[one.prompt for one in pairs],
    )  # fmt: skip
    assert page.session_state["references"].split("\n") == [one.prompt for one in pairs]
    assert [one["size"] for one in figure_rows(page) if one == row] == ["25"]
    own = replace(E, prompt="", answer="", distractor="")
    curve = engine.feature_curve(own, SAE, pairs, by="signed", controls=0)
    values = curve.kept if click.startswith("Keep") else curve.removed
    told = engine.next_token(e).ablated_logit_diff
    assert told == pytest.approx(values[curve.sizes.index(25), 1], abs=1e-3)
    page = waited(button(page, "Let all be").click().run())
    assert page.session_state["changes"] == ""


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"prompt": "1 2"}, "the prompt above has"),
        ({"sae_error": "zero"}, "without the SAE's error"),
        ({"other_features": "zero"}, "features become 0"),
        ({"ablations": "1.3"}, "which are then the references in the link. What else is changed"),
        ({"changes": "mean 1.3", "references": "1 2"}, "other references"),
    ],
)
def test_what_the_buttons_set_features_to_is_said(query: dict[str, str], told: str) -> None:
    page = features_page(
        features_show="circuit", over="family", n_pairs="3", n_random="0", feature_order="signed",
        **query,
    )  # fmt: skip
    assert told in said(page)


def test_the_circuit_of_one_prompt_has_the_others_at_0() -> None:
    page = features_page(features_show="circuit", feature_order="signed", n_random="1")
    assert "all others that are on become 0" in said(page)
    assert float(figure_rows(page)[-1]["faithfulness"]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"features_show": "answer", "features_exact": "x"}, "not a whole number"),
        ({"features_show": "answer", "features_exact": "9999"}, "0 to 1,000 features"),
        ({"features_show": "answer", "answer": ""}, "has no answer"),
        ({"features_show": "answer", "positions": "generated"}, "no feature is switched off"),
        ({"features_show": "answer", "saes": "gone@r2"}, "No SAE “gone” ships"),
        ({"features_show": "circuit", "n_random": "999"}, "0 to 100 random orders"),
        ({"features_show": "circuit", "over": "written"}, "Paste pairs"),
        ({"features_show": "circuit", "prompt": ""}, ""),
    ],
)
def test_what_cannot_be_asked_is_said(query: dict[str, str], told: str) -> None:
    page = waited(page_of("features", **query))
    assert not page.exception and told in said(page)
