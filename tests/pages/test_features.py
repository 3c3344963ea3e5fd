"""The Features page by Streamlit's own AppTest."""

from __future__ import annotations

from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import engine
from pages._parts import work
from pages._parts.features import health
from pages._parts.text import points, visible
from tests.pages.test_bad_input import LITTLE, page_of
from tests.pages.test_neurons import figure_rows, said
from tests.support.opening import codes_of
from tests.support.waiting import waited

E = engine.Experiment("seq-gpt2", "1 2 3 4", answer=" 5", distractor=" 4")
SAE = engine.bundled_sae("seq-gpt2-r3")


def features_page(**query: Any) -> AppTest:
    page = waited(page_of("features", **query))
    assert not page.exception and not page.error, said(page)
    return page


def test_health_comes_first_with_its_verdict_and_the_python_gives_it() -> None:
    page = features_page(features_in="family", task="months")
    texts = [one.prompt for one in engine.examples("months", 20)]
    measured = engine.measure_sae("seq-gpt2", SAE, texts)
    rows = {row["number"]: float(row["value"]) for row in figure_rows(page)}
    assert rows["loss recovered"] == pytest.approx(measured.recovered, abs=1e-4)
    told = [one.value for one in [*page.warning, *page.success]]
    assert len(told) == 1 and ("sick" in told[0]) == bool(measured.sick)
    code = codes_of(page, "measure_sae(")[0]
    with redirect_stdout(written := StringIO()):
        exec(code, {})
    assert len(written.getvalue().splitlines()) == len(measured.table())


def test_while_health_is_measured_its_numbers_are_told_and_its_figure_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = features_page(features_in="family", task="months")
    assert figure_rows(page) and page.metric
    over = work.is_over
    monkeypatch.setattr(work, "is_over", lambda key: key != health.KEY and over(key))
    page.run()
    assert page.metric and not page.exception
    drawn = [one.proto.component_name for one in page.get("bidi_component")]
    assert not [name for name in drawn if name.endswith("figure")]


def test_a_feature_of_the_prompt_is_switched_off_by_a_click_and_is_in_the_link() -> None:
    page = features_page(features_show="prompt", features_shown="8")
    result = engine.active_features(E, SAE, 8)
    table = page.main.dataframe[0].value
    assert table["feature"].tolist() == [str(one) for one in result.features]
    name = table["feature"][0]
    (chips,) = (pills for pills in page.pills if pills.key == "_neurons_off of an SAE")
    page = waited(chips.set_value([name]).run())
    assert not page.exception and not page.error, said(page)
    assert page.query_params["ablations"] == name and page.query_params["saes"] == str(SAE)
    assert page.main.dataframe[0].value["off"].tolist()[0]
    page.session_state["run"] = "difference"
    page = waited(page.run())
    rows = {(row["feature"], row["position"]): row for row in figure_rows(page)}
    at = max(
        (row for row in rows.values() if row["feature"] == name), key=lambda r: float(r["clean"])
    )
    assert float(at["ablated"]) < float(at["clean"])


def test_one_feature_has_its_tokens_and_contexts_and_is_forced_by_a_button() -> None:
    feature = str(engine.active_features(E, SAE, 50).strongest(-1, 1)[0])
    page = features_page(
        features_show="one", features_in="family", task="numerals", feature=feature
    )
    (numbers,) = engine.feature_tokens("seq-gpt2", SAE, [feature]).values()
    shown = page.main.dataframe[0].value["promotes"]
    assert shown[0].replace("␣", " ") == numbers.top_texts[0].replace("␣", " ")
    silence = next(one for one in page.button if one.label == "Silence")
    page = waited(silence.click().run())
    assert page.session_state["changes"] == f"zero {feature}" and "→" in said(page)
    assert page.session_state["saes"] == str(SAE)


def test_a_feature_is_steered_along_by_a_button_that_opens_the_page_for_it() -> None:
    page = features_page(features_show="one", feature="f3.292")
    steer = next(one for one in page.button if one.label == "Steer along it")
    page = waited(steer.click().run())
    assert not page.exception and not page.error, said(page)
    made = engine.Direction("f3-292", "", engine.FromFeature(SAE, "f3.292"))
    assert page.session_state["vectors"] == str(made)
    assert page.session_state["steer_with"] == "f3-292"
    norm = next(one.value for one in page.metric if one.label == "Norm")
    assert norm == f"{engine.direction('seq-gpt2', made).norm:.3g}"
    assert page.text_input(key="vector_feature").value == "f3.292"
    assert page.button(key="_keep").disabled


def test_an_sae_is_trained_and_looked_at() -> None:
    page = features_page(
        features_show="train", features_in="family", task="months", sae_site="m2",
        sae_expansion="2", sae_k="4", sae_tokens="4096",
    )  # fmt: skip
    train = next(one for one in page.button if one.label == "Train")
    page = waited(train.click().run())
    assert not page.exception and not page.error, said(page)
    assert figure_rows(page)[-1]["tokens"] == "4096" and "320 features" in said(page)
    look = next(one for one in page.button if one.label.startswith("Look at"))
    page = waited(look.click().run())
    assert page.session_state["saes"].startswith("trained-m2@m2:")
    assert not page.exception and not page.error, said(page)


def test_what_heads_write_after_a_feature_is_off_stands_beside_the_clean_run() -> None:
    off = replace(E, ablations="f3.292", saes=SAE)
    page = features_page(features_show="after", ablations="f3.292", saes=str(SAE))
    change = engine.direct_attribution(off).sites("difference")
    heads = [site for site in change.sites if isinstance(site, engine.Head)]
    best = max(heads, key=lambda head: abs(change[head]))
    assert page.main.dataframe[0].value["site"][0] == str(best)
    result = engine.head_writes(off, best)
    shown = page.main.dataframe[1].value
    for column, tokens in (
        ("raises, clean", result.most()), ("raises, ablated", result.most("ablated")),
        ("lowers, ablated", result.least("ablated")),
    ):  # fmt: skip
        told = [str(cell).rsplit("  ", 1)[0] for cell in shown[column]]
        assert told == [visible(token) for token in tokens]
    looked = page.main.dataframe[2].value
    each = result.attention()
    assert [*looked["change, points"]] == [points(float(str(row["change"]))) for row in each]
    rows = {row["token"]: row for row in figure_rows(page)}
    assert len(rows) == len(result.ids)
    for row in result.table():
        assert float(rows[str(row["token"])]["change"]) == pytest.approx(row["change"], abs=1e-4)
    code = codes_of(page, "head_writes(")[0]
    with redirect_stdout(written := StringIO()):
        exec(code, {})
    assert len(written.getvalue().splitlines()) == len(result.ids)
    page.text_input(key="role_head").set_value("5.0")
    page = waited(page.run())
    assert any(one.value.startswith("5.0 at position 3") for one in page.subheader)
    clean = features_page(features_show="after", answer="", distractor="")
    assert "Nothing is changed" in said(clean) and "give an answer" in said(clean)
    wrong = waited(page_of("features", features_show="after", role_head="n1.2"))
    assert not wrong.exception and "no head of this model" in said(wrong)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"model": "seq-llama"}, "No SAE of this model is here"),
        ({"saes": "gone@r2"}, "No SAE “gone” ships"),
        ({"saes": f"gone@r2:{'0' * 64}"}, "not read on this machine"),
        ({"saes": "nonsense", **LITTLE["features"]}, "is no SAE"),
        ({"features_show": "one", "feature": "n2.3"}, "Name one feature"),
        ({"features_show": "one", "feature": "99999"}, "There is no feature"),
        ({"features_show": "prompt", "features_shown": "x"}, "not a whole number"),
        ({"features_show": "prompt", "ablations": "f2.3"}, "features of an SAE of layer 2"),
        ({"features_show": "train", "sae_site": "9.1"}, "one place of the residual stream"),
        ({"features_show": "train", "sae_k": "9999"}, "1 to 1,024"),
        ({"features_in": "written"}, "Paste a text"),
    ],
)
def test_what_cannot_be_shown_is_said(query: dict[str, str], told: str) -> None:
    page = waited(page_of("features", **query))
    assert not page.exception and told in said(page)
