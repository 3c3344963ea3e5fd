"""The Attribution page by Streamlit's own AppTest."""

from __future__ import annotations

import csv
import io
from contextlib import redirect_stdout
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import engine
from tests.pages.test_bad_input import page_of
from tests.pages.test_explore import component, unescaped
from tests.pages.test_lens import sent as components
from tests.support.opening import codes_of
from tests.support.tiny_models import Tiny
from tests.support.waiting import waited

E = engine.Experiment("seq-gpt2", "1 2 3 4", answer=" 5", distractor=" 4", ablations="1.3")


def attribution_page(**query: str) -> AppTest:
    page = page_of("attribution", **query)
    assert not page.exception and not page.error, said(page)
    return page


def said(page: AppTest) -> str:
    return " ".join(p.value for p in [*page.error, *page.warning, *page.info, *page.caption])


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("run", ["clean", "ablated", "difference"])
def test_the_switches_and_the_figure_are_tinted_by_the_engines_numbers(run: str) -> None:
    page = attribution_page(ablations="1.3", run=run)
    meant = engine.direct_attribution(E).sites(run)
    grid, sent = component(page, "head_grid"), component(page, "figure")
    drawn = sent["figure"]["data"][0]
    np.testing.assert_allclose(grid["values"], np.array(meant.tint(), float), atol=1e-5)
    assert grid["value_name"] == meant.name and grid["orders"] == ["size", "below", "above"]
    for what in ("colorscale", "zmin", "zmax"):
        assert grid["colours"][what] == drawn[what]
    rows = rows_of(sent["csv"])
    assert len(rows) == 6 * 9 + 8 and rows[-1]["site"] == "logit difference"
    off = next(row for row in rows if row["site"] == "1.3")
    assert float(off["ablated"]) == 0 and float(off["change"]) == -float(off["clean"])


def test_the_sum_stands_beside_the_logit_difference_and_what_is_not_shown_is_said() -> None:
    page = attribution_page(ablations="1.3")
    result = engine.direct_attribution(E)
    metrics = {one.label: one for one in page.metric}
    assert metrics["Clean logit difference"].value == engine.signed(result.clean.logit_diff, 3)
    assert metrics["Ablated"].value == engine.signed(result.ablated.logit_diff, 3)
    told = unescaped(said(page))
    assert f"heads {engine.signed(result.clean.heads, 3)}" in told and "54 heads and MLPs" in told
    assert (
        f"= {engine.signed(result.ablated.logit_diff, 3)}" in told
        and "later ones is not in it" in told
    )


def test_parts_stand_by_size_and_the_python_gives_them() -> None:
    page = attribution_page(ablations="1.3", run="difference")
    shown = page.main.dataframe[0].value
    assert list(shown) == ["site", "clean", "ablated", "change"]
    sizes = shown["change"].abs().tolist()
    assert sizes == sorted(sizes, reverse=True) and len(sizes) == 54
    code = codes_of(page, "direct_attribution(")[0]
    with redirect_stdout(written := io.StringIO()):
        exec(code, {})
    assert len(written.getvalue().splitlines()) == 6 * 9 + 8


def test_a_heads_sources_are_drawn() -> None:
    page = attribution_page(ablations="1.3", attributed="sources", source_head="5.2")
    rows = rows_of(component(page, "figure")["csv"])
    result = engine.source_attribution(E, "5.2")
    assert [row["piece"] for row in rows] == list(result.pieces)
    assert sum(float(row["clean"]) for row in rows) == pytest.approx(result.clean.total, abs=1e-4)
    assert f"{engine.signed(result.clean.total, 3)} clean" in unescaped(said(page))
    page.text_input(key="source_head").set_value("").run()
    grid = engine.direct_attribution(E).clean.sites
    best = max((s for s in grid.sites if isinstance(s, engine.Head)), key=lambda s: abs(grid[s]))
    assert f"What {best} brings" in unescaped(said(page))
    assert "source_head" not in page.query_params


@pytest.mark.parametrize("given", ["m1", "99.1", "what", "1.1 1.2"])
def test_what_is_no_head_is_said_and_the_page_stands(given: str) -> None:
    page = page_of("attribution", attributed="sources", source_head=given)
    assert not page.exception and page.error
    page.text_input(key="source_head").set_value("1.1").run()
    assert not page.exception and not page.error


def test_an_mlps_neurons_are_listed() -> None:
    page = attribution_page(attributed="neurons", neurons_of="m4")
    shown = page.main.dataframe[0].value
    result = engine.neuron_attribution(E.clean, "m4")
    assert len(shown) == 50 and shown["neuron"][0] == result.table(most=1)[0]["neuron"]
    assert f"{engine.signed(result.clean.total, 3)} (clean)" in unescaped(said(page))


def test_the_total_effect_stands_beside() -> None:
    page = waited(attribution_page(ablations="1.3", attributed="total"))
    sent = component(page, "figure")
    rows = rows_of(sent["csv"])
    result = engine.direct_attribution(E).clean.sites
    total = engine.sweep(E.clean).grid("logit_diff", "change")
    assert len(rows) == 54
    for row in rows:
        (site,) = engine.parse_sites(row["site"])
        assert float(row["direct"]) == pytest.approx(result[site], abs=1e-5)
        assert float(row["total"]) == pytest.approx(total[site], abs=1e-4)
    named = {trace["name"] for trace in sent["figure"]["data"]}
    assert named == {"direct alone", "heads", "MLPs"}
    assert "below 0 it helps the answer" in unescaped(said(page))


def test_its_choices_are_in_the_link() -> None:
    page = attribution_page(run="ablated", attributed="neurons")
    assert page.query_params["run"] == ["ablated"] or page.query_params["run"] == "ablated"
    page.button_group(key="attributed").set_value("parts").run()
    assert "attributed" not in page.query_params


@pytest.mark.parametrize(
    ("query", "told"),
    [({"distractor": ""}, "give an answer and a distractor"),
     ({"distractor": " 5"}, "same tokens"),
     ({"distractor": " 5 6"}, "begins with the whole of the other")],
)  # fmt: skip
def test_without_a_token_that_decides_it_is_said(query: dict[str, str], told: str) -> None:
    page = attribution_page(**query, ablations="1.3")
    assert told in unescaped(page.main.info[0].value)
    assert component(page, "head_grid")["picked"]


def test_a_family_whose_parts_do_not_add_up_is_refused_in_words(tiny: Tiny) -> None:
    directory = tiny("bloom", apply_residual_connection_post_layernorm=True)
    page = page_of(
        "attribution", model=str(directory), prompt="t1 t5", answer=" t11", distractor=" t20"
    )
    assert not page.exception and "not added to the residual stream" in unescaped(said(page))


def gradients(**query: str) -> AppTest:
    query.setdefault("corrupted", "8 1 6 3")
    return waited(attribution_page(attributed="gradients", **query))


PAIR = replace(E.clean, corrupted="8 1 6 3")
RESAMPLED = replace(PAIR, method="resample")


@pytest.mark.parametrize("steps", ["1", "5"])
def test_scores_of_nodes_stand_beside_a_sweep_by_resample(steps: str) -> None:
    page = gradients(gradient_steps=steps, ablations="1.3")
    scores = engine.node_attribution(PAIR, steps=int(steps))
    exact = engine.sweep(RESAMPLED)
    agreement, grid = scores.agreement(exact), component(page, "head_grid")
    np.testing.assert_allclose(grid["values"], np.array(scores.grid().tint(), float), atol=1e-5)
    assert len(grid["guesses"]) == 54  # estimates look like estimates
    metrics = {one.label: one for one in page.metric}
    assert metrics["Estimate against exact, r"].value == f"{agreement.pearson:.2f}"
    assert f"over 54 heads and MLPs; Spearman's {agreement.spearman:.2f}" in str(
        metrics["Estimate against exact, r"].help
    )
    assert metrics["Clean logit difference"].value == engine.signed(float(scores.clean[0]))
    beside = rows_of(components(page, "figure")[0]["csv"])
    assert len(beside) == 54
    for row in beside:
        (site,) = engine.parse_sites(row["site"])
        assert float(row["estimate"]) == pytest.approx(scores.grid()[site], abs=1e-4)
        assert float(row["exact"]) == pytest.approx(exact.grid("logit_diff")[site], abs=1e-3)
    told = unescaped(said(page))
    way = "attribution patching" if steps == "1" else "integrated over 5 steps"
    assert way in told and "below 0, red, it helps" in told and "One prompt." in told


def test_the_python_of_scores_gives_their_rows_and_how_well_they_predict() -> None:
    for of, lines in (("nodes", 54), ("edges", 100)):
        page = gradients(gradients_of=of)
        code = codes_of(page, "_attribution(")[0]
        with redirect_stdout(written := io.StringIO()):
            exec(code, {})
        first, *rows = written.getvalue().splitlines()
        assert first.startswith("Agreement(pearson=0.9") and len(rows) == lines


@pytest.mark.parametrize("into", ["logits", "m4", "5.2.q m5"])
def test_scores_of_edges_stand_beside_the_paths_patched(into: str) -> None:
    page = gradients(gradients_of="edges", gradients_into=into)
    scores = engine.edge_attribution(PAIR)
    exact = engine.path_patch(RESAMPLED, receivers=into)
    meant, grid = scores.grid(into), component(page, "head_grid")
    np.testing.assert_allclose(
        np.array(grid["values"], float), np.array(meant.tint(), float), atol=1e-5
    )
    assert len(grid["guesses"]) == len(meant.sites)
    r = {one.label: one.value for one in page.metric}["Estimate against exact, r"]
    assert r == f"{scores.agreement(exact).pearson:.2f}"
    beside, whole = (rows_of(sent["csv"]) for sent in components(page, "figure"))
    assert {row["site"] for row in beside} == {str(site) for site in meant.sites}
    assert len(whole) == scores.n_edges
    assert f"{scores.n_edges:,} edges in all" in unescaped(said(page))


def test_what_is_exact_can_be_seen_in_the_grid() -> None:
    page = gradients(gradients_show="exact")
    grid, exact = component(page, "head_grid"), engine.sweep(RESAMPLED).grid("logit_diff")
    np.testing.assert_allclose(grid["values"], np.array(exact.tint(), float), atol=1e-4)
    assert not grid["guesses"]


def test_scores_over_a_family_have_their_spread() -> None:
    page = gradients(over="family", task="numerals", n_pairs="5")
    shown = page.main.dataframe[-1].value
    assert list(shown) == ["site", "estimate", "±", "exact"] and (shown["±"] > 0).any()
    assert "5 of 5 prompts" in unescaped(said(page))


def test_edges_into_one_receiver_have_their_spread_too() -> None:
    family = {"over": "family", "task": "numerals", "n_pairs": "4", "gradients_of": "edges"}
    shown = next(one.value for one in gradients(**family).main.dataframe if "±" in one.value)
    pairs = engine.task("numerals", "seq-gpt2", n=4).pairs
    result = engine.edge_attribution(engine.Experiment("seq-gpt2"), pairs)
    meant = dict(zip(map(str, result.senders), result.spread_into("logits"), strict=True))
    for site, spread in zip(shown["site"], shown["±"], strict=True):
        assert spread == pytest.approx(meant[site], abs=1e-4)
    several = gradients(**family, gradients_into="m4 m5")  # whose sums are not kept by prompt
    assert not [one for one in several.main.dataframe if "±" in one.value]


def test_without_a_corrupted_prompt_that_fits_a_button_makes_one() -> None:
    page = gradients(corrupted="")
    assert "Gradients are taken between two prompts" in said(page)
    assert "head_grid" in str(page.main)
    page.button(key="_make_corrupted").click().run()
    assert "Estimated by gradients" in unescaped(said(waited(page)))


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"gradient_steps": "0"}, "1 to 1,000 steps"),
        ({"gradient_steps": "many"}, "is not a whole number"),
        ({"gradients_of": "edges", "gradients_into": "9.9.q"}, "9.9"),
        ({"gradients_of": "edges", "gradients_into": "what"}, "what"),
        ({"gradients_of": "edges", "gradients_into": " "}, "No receivers are named"),
        ({"positions": "generated"}, "choose all, prompt"),
        ({"over": "written", "pairs": ""}, "Paste pairs"),
    ],
)
def test_what_gradients_cannot_be_asked_is_said(query: dict[str, str], sentence: str) -> None:
    page = page_of("attribution", attributed="gradients", corrupted="8 1 6 3", **query)
    assert not page.exception and sentence in unescaped(said(page)), said(page)
    assert component(page, "head_grid")["layers"] == 6


def test_without_a_distractor_edges_stand_alone_and_nodes_beside_log_probabilities() -> None:
    page = gradients(distractor="", gradients_of="edges")
    assert "the scores stand alone" in said(page)
    assert "Estimate against exact, r" not in {one.label for one in page.metric}
    page = gradients(distractor="")
    assert "in nats" in said(page)
    assert "Estimate against exact, r" in {one.label for one in page.metric}
