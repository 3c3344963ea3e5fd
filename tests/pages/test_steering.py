"""The Steering page by Streamlit's own AppTest."""

from __future__ import annotations

import csv
import io
from contextlib import redirect_stdout
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import engine
from tests.pages.test_bad_input import page_of
from tests.pages.test_explore import component, unescaped
from tests.support.opening import codes_of
from tests.support.waiting import waited

UP = engine.Direction("up", "r3", engine.FromUnembedding(" fifth", " 5"))
WITH = {"vectors": str(UP), "answer": " fifth", "distractor": " 5"}
SMALL = {"steer_coefficients": "0 2", "steer_layers": "2 3", "steer_draws": "1"}


def steering_page(**query: Any) -> AppTest:
    page = waited(page_of("steering", **query))
    assert not page.exception and not page.error, said(page)
    return page


def said(page: AppTest) -> str:
    parts = [*page.error, *page.warning, *page.info, *page.caption]
    return unescaped(" ".join(part.value for part in parts))


def click(page: AppTest, key: str) -> AppTest:
    return waited(page.button(key=key).click().run())


def test_a_direction_is_made_of_prompts_kept_added_taken_out_and_let_be() -> None:
    page = steering_page(corrupted="8 1 6 3", vector_name="runs")
    made = engine.Direction("runs", "r3", engine.FromPrompts(["1 2 3 4"], ["8 1 6 3"]))
    norm = next(one.value for one in page.metric if one.label == "Norm")
    e = engine.Experiment("seq-gpt2", vectors=[made])
    assert norm == f"{engine.direction(e, 'runs').norm:.3g}"
    page = click(page, "_keep")
    assert page.session_state["vectors"] == str(made) == page.query_params["vectors"]
    page.text_input(key="steer_by").set_value("-2.5")
    page.text_input(key="steer_layer").set_value("4")
    page = click(page, "_add")
    assert page.session_state["changes"] == "add(runs, -2.5) r4"
    changed = next(one for one in page.metric if one.label == "With all that is changed")
    steered = engine.Experiment("seq-gpt2", "1 2 3 4", answer=" 5", distractor=" 4",
                                changes="add(runs, -2.5) r4", vectors=[made])  # fmt: skip
    assert changed.value == engine.signed(engine.next_token(steered).ablated_logit_diff or 0.0)
    page.text_input(key="positions").set_value("-1")
    page = click(page, "_project")
    assert page.session_state["changes"] == "project(runs) r4 @-1"
    page = click(page, "_let_be")
    assert page.session_state["changes"] == ""
    page = click(click(page, "_add"), "_remove")
    assert (page.session_state["vectors"], page.session_state["changes"]) == ("", "")


@pytest.mark.parametrize(
    ("query", "made"),
    [
        ({"made_of": "head", "vector_head": "4.1", "vector_token": " 3"},
         engine.FromHead("4.1", " 3")),
        ({"made_of": "unembedding", "vector_less": " 4"}, engine.FromUnembedding(" 5", " 4")),
        ({"made_of": "feature", "vector_feature": "292", "vector_length": "unit"},
         engine.FromFeature("seq-gpt2-r3@r3", 292, "unit")),
        ({"vector_plus": "1 2\n3 4", "vector_minus": "2 1\n4 3", "made_by": "pca",
          "made_read": "mean"}, engine.FromPrompts(["1 2", "3 4"], ["2 1", "4 3"], "pca", "mean")),
    ],
)  # fmt: skip
def test_every_way_of_making_one_is_the_engines(query: dict[str, str], made: Any) -> None:
    page = click(steering_page(**query, vector_name="v", vector_site="r2"), "_keep")
    site = "r3" if isinstance(made, engine.FromFeature) else "r2"
    assert page.session_state["vectors"] == str(engine.Direction("v", site, made))


def test_a_file_that_is_opened_holds_directions(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWITCHBOARD_VECTORS", str(tmp_path))
    written = engine.write_directions(engine.direction("seq-gpt2", UP))
    page = steering_page(made_of="file")
    page.file_uploader[0].set_value(("up.safetensors", written, "application/octet-stream"))
    page = click(waited(page.run()), "_keep")
    (kept,) = engine.Experiment(vectors=page.session_state["vectors"].splitlines()).vectors
    assert kept.name == "up" and isinstance(kept.made, engine.FromFile)
    page.file_uploader[0].set_value(("up.safetensors", b"nothing", "application/octet-stream"))
    assert "not read as directions" in said(waited(page.run()))


def test_the_map_is_the_engines_with_its_best_coefficient_and_the_python_gives_it() -> None:
    page = steering_page(steering_show="map", **WITH, **SMALL, steer_kl="5")
    pair = engine.Pair("1 2 3 4", "", " fifth", " 5")
    e = engine.Experiment("seq-gpt2", vectors=[UP])
    result = engine.steer(e, "up", [pair], [2, 3], [0, 2], 1)
    rows = list(csv.DictReader(io.StringIO(component(page, "figure")["csv"])))
    assert len(rows) == 4
    for row, meant in zip(rows, result.table(), strict=True):
        for name in ("change", "kl", "perplexity", "random_change_mean", "spared"):
            assert float(row[name]) == pytest.approx(meant[name], abs=1e-3, rel=1e-3)
    layer = (result.best(5) or (0, 0))[0]
    found = engine.best_coefficient(e, "up", [pair], layer, 5, controls=1)
    shown = next(one.value for one in page.metric if one.label == "Coefficient")
    assert float(shown.replace("−", "-")) == pytest.approx(found.coefficient, rel=0.02)
    assert "Random directions as long change it by" in said(page)
    code = codes_of(page, "engine.steer(")[0]
    with redirect_stdout(printed := io.StringIO()):
        exec(code, {})
    assert len(printed.getvalue().splitlines()) == 4
    page = click(page, "_add_best")
    (change,) = engine.changes(page.session_state["changes"])
    assert change.becomes.number == pytest.approx(found.coefficient, rel=0.02)


def test_a_ready_example_brings_its_direction_and_the_prompts_it_is_judged_on() -> None:
    page = steering_page(**{**SMALL, "steer_coefficients": "2", "steer_layers": "3"})
    (pills,) = (one for one in page.pills if one.key == "_ready_example")
    page = waited(pills.set_value("months to numerals").run())
    example = engine.steering_example("months to numerals", "seq-gpt2")
    assert page.session_state["vectors"] == str(example.direction)
    assert page.text_area(key="prompt").value == example.pairs[0].prompt
    rows = list(csv.DictReader(io.StringIO(component(page, "figure")["csv"])))
    assert {row["n"] for row in rows} == {str(len(example.pairs))}


def test_texts_stand_side_by_side_and_what_repeats_is_told_beside_random_directions() -> None:
    page = steering_page(
        steering_show="text", **WITH, steer_by="3", steer_draws="1", new_tokens="4",
        changes="add(up, 3) r3",
    )  # fmt: skip
    assert len(component(page, "generation")["steps"]) == 4
    assert component(page, "generation")["acts"] == "add(up, 3.0) r3"
    result = engine.steered_texts(
        engine.Experiment("seq-gpt2", vectors=[UP]), "up", 3, 3.0, controls=1
    )
    table = page.main.dataframe[-1].value
    steered = [row["text"] for _, row in table.iterrows() if row["run"] == "up"]
    assert steered == [own[1] for own in result.texts]
    assert f"steered {result.mean_repetition[1]:.2f}" in said(page)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"steering_show": "map"}, "There is no direction yet"),
        ({"steering_show": "text"}, "There is no direction yet"),
        ({"corrupted": "8 1 6 3", "vector_site": "r99"}, "layers are 0 to 5"),
        ({"corrupted": "8 1 6 3", "vector_site": "4.1"}, "lies in the residual stream"),
        ({"made_of": "head", "vector_head": "m4"}, "names one, as in 5.1"),
        ({"made_of": "unembedding", "vector_token": "1 2 3"}, "tokens here"),
        ({"vector_plus": "1 2\n3", "vector_minus": "1", "made_by": "pca"}, "pair by pair"),
        ({"steering_show": "map", **WITH, "steer_layers": "9"}, "There is no layer 9"),
        ({"steering_show": "map", **WITH, "steer_coefficients": "1 x"}, "“x” is not a number"),
        ({"steering_show": "map", **WITH, "steer_draws": "0"}, "1 to 100 random"),
        ({"steering_show": "map", **WITH, **SMALL, "steer_kl": "0"}, "above 0"),
        ({"steering_show": "text", **WITH, "steer_by": "much"}, "“much” is not a number"),
        ({"steering_show": "text", **WITH, "steer_layer": "7"}, "There is no layer 7"),
    ],
)
def test_what_cannot_be_asked_is_said(query: dict[str, str], told: str) -> None:
    page = waited(page_of("steering", **query))
    assert not page.exception and told in said(page)
