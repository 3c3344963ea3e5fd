"""The Attribution page by Streamlit's own AppTest."""

from __future__ import annotations

import csv
import io
from contextlib import redirect_stdout

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import engine
from tests.pages.test_bad_input import page_of
from tests.pages.test_explore import component, unescaped
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
    assert metrics["Clean logit difference"].value == f"{result.clean.logit_diff:+.3f}"
    assert metrics["Ablated"].value == f"{result.ablated.logit_diff:+.3f}"
    told = unescaped(said(page))
    assert f"heads {result.clean.heads:+.3f}" in told and "54 heads and MLPs" in told
    assert f"= {result.ablated.logit_diff:+.3f}" in told and "later ones is not in it" in told


def test_parts_stand_by_size_and_the_python_gives_them() -> None:
    page = attribution_page(ablations="1.3", run="difference")
    shown = page.main.dataframe[0].value
    assert list(shown) == ["site", "clean", "ablated", "change"]
    sizes = shown["change"].abs().tolist()
    assert sizes == sorted(sizes, reverse=True) and len(sizes) == 54
    code = next(one.value for one in page.code if "direct_attribution(" in one.value)
    with redirect_stdout(written := io.StringIO()):
        exec(code, {})
    assert len(written.getvalue().splitlines()) == 6 * 9 + 8


def test_a_heads_sources_are_drawn() -> None:
    page = attribution_page(ablations="1.3", attributed="sources", source_head="5.2")
    rows = rows_of(component(page, "figure")["csv"])
    result = engine.source_attribution(E, "5.2")
    assert [row["piece"] for row in rows] == list(result.pieces)
    assert sum(float(row["clean"]) for row in rows) == pytest.approx(result.clean.total, abs=1e-4)
    assert f"{result.clean.total:+.3f} clean" in unescaped(said(page))
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
    assert f"{result.clean.total:+.3f} (clean)" in unescaped(said(page))


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
