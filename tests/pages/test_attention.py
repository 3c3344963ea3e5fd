"""The Attention page by Streamlit's own AppTest: what needs no browser."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import engine
from pages._parts.attention.grid import overview_python, scores_of
from pages._parts.attention.patterns import patterns_python
from tests.support.alone import printed
from tests.support.opening import codes_of, page_at

E = engine.Experiment(prompt="1 2 3 1 2 3", ablations="0.1 m0")
HEADS = [engine.Head(1, 2), engine.Head(0, 1)]


def opened(**query: str) -> AppTest:
    return page_at("attention", {"model": "seq-gpt2", "prompt": E.prompt, **query})


def protos(page: AppTest, name: str) -> list:
    sent = [c.proto for c in page.get("bidi_component")]
    return [p for p in sent if p.component_name.split(".")[-1] == name]


def overview(page: AppTest) -> tuple[dict, np.ndarray]:
    sent = protos(page, "attention_grid")[0].bytes
    n = int.from_bytes(sent[:4], "little")
    header = json.loads(sent[4 : 4 + n])
    shape = (header["layers"], header["heads"], header["size"], header["size"])
    return header, np.frombuffer(sent[4 + n :], np.int8).reshape(shape)


def closer(page: AppTest) -> dict:
    return json.loads(protos(page, "circuitsvis")[0].json)


def said(page: AppTest) -> str:
    return " ".join(e.value for e in [*page.error, *page.warning, *page.info]).replace("\\", "")


def code(page: AppTest, function: str) -> str:
    return codes_of(page, f"engine.{function}(")[0]


def ran(written: str) -> dict:
    names: dict = {}
    exec(written, names)
    return names


def test_every_head_is_drawn_and_the_chosen_one_large() -> None:
    page = opened()
    assert not page.exception and not page.error
    header, shades = overview(page)
    seen = engine.attention_overview(engine.Experiment(prompt=E.prompt))
    assert (shades == seen.clean.shade).all() and shades.shape[:2] == (6, 8)
    assert header["chosen"] == [0] and header["picked"] == []
    shown = closer(page)
    assert shown["heads"] == [[0, 0]] and shown["tokens"][1] == "␣2"
    np.testing.assert_allclose(
        shown["values"][0], engine.attention(E.clean).clean.pattern[0, 0], atol=5.1e-5
    )


@pytest.mark.parametrize("run", ["clean", "ablated", "difference"])
@pytest.mark.parametrize("weight", ["pattern", "value"])
def test_run_and_weights_are_in_the_link_and_reach_both_views(run: str, weight: str) -> None:
    page = opened(ablations="0.1 m0", run=run, weight=weight, heads="1.2 0.1")
    assert not page.exception and not page.error
    header, shades = overview(page)
    seen = engine.attention_overview(E, weighted=weight == "value")
    assert (shades == getattr(seen, run).shade).all() and header["picked"] == [1]
    names = ran(code(page, "attention_overview"))
    assert (names["shown"].shade == shades).all() and names["shown"].most == header["most"]
    for name, values in names["scores"].items():
        told = np.array(header["scores"][name], float)
        np.testing.assert_allclose(told, values.ravel(), atol=5.1e-5)
    shown, names = closer(page), ran(code(page, "attention"))
    np.testing.assert_allclose(shown["values"], names["shown"], atol=5.1e-5)
    assert shown["heads"] == [[1, 2], [0, 1]]
    for name, value in (("run", run), ("weight", weight), ("heads", "1.2 0.1")):
        default = value in ("clean", "pattern")
        assert page.query_params.get(name) == (None if default else value)


def test_the_python_of_both_views_gives_what_is_drawn_in_a_fresh_interpreter() -> None:
    page = opened(ablations="0.1 m0", run="difference", weight="value", heads="1.2 0.1")
    script = f"""import json
{code(page, "attention_overview")}
scores = {{name: values.ravel().tolist() for name, values in scores.items()}}
shades = shown.shade.ravel().tolist()
{code(page, "attention")}
print(json.dumps([shades, scores, shown.tolist()]))"""
    shades, scores, values = json.loads(printed(script))
    header, drawn = overview(page)
    assert abs(np.array(shades) - drawn.ravel().astype(int)).max() <= 1  # of 127, rounded
    for name, own in scores.items():
        told = np.array(header["scores"][name], float)
        np.testing.assert_allclose(told, own, atol=1e-4)
    np.testing.assert_allclose(closer(page)["values"], values, atol=1e-4)


def test_the_python_is_that_of_its_view() -> None:
    for run in ("clean", "ablated", "difference"):
        names = ran(patterns_python(E, HEADS, run, False))
        every = engine.attention(E)
        whole = {"clean": every.clean.pattern, "ablated": every.ablated.pattern}
        whole["difference"] = whole["ablated"] - whole["clean"]
        at = [head.layer for head in HEADS], [head.head for head in HEADS]
        np.testing.assert_allclose(names["shown"], whole[run][at], atol=1e-6)
        names = ran(overview_python(E, run, True, 7))
        seen = engine.attention_overview(E, 7, weighted=True)
        for name, values in scores_of(seen, run).items():
            np.testing.assert_array_equal(names["scores"][name], values)


def test_what_is_off_is_typed_undone_and_kept_between_pages() -> None:
    page = opened()
    page.text_input(key="sites").set_value("0.1 m2").run()
    assert overview(page)[0]["picked"] == [1] and page.query_params["ablations"] == "0.1 m2"
    page.button_group(key="run").set_value("difference").run()
    page.switch_page("pages/explore.py").run().text_area(key="prompt").set_value("1 2 3").run()
    assert page.text_input(key="sites").value == "0.1 m2"
    page.switch_page("pages/attention.py").run().run()
    header, shades = overview(page)
    assert header["picked"] == [1] and header["run"] == "difference" and shades.any()
    assert page.query_params["run"] == "difference" and not page.exception
    next(b for b in page.button if b.label == "Undo").click().run()
    assert overview(page)[0]["picked"] == [] and not overview(page)[1].any()


def test_the_table_holds_every_head_and_says_what_there_is_not() -> None:
    page = opened(prompt="1 2 3")
    table = page.dataframe[0].value
    assert len(table) == 48 and list(table)[3:] == list(engine.SCORES)
    assert table["induction"].isna().all() and not table["previous_token"].isna().any()
    header, _ = overview(page)
    assert set(header["scores"]["induction"]) == {None}
    lines = header["csv"].splitlines()
    assert len(lines) == 49 and lines[0].startswith("layer,head,clean_previous_token")
    assert lines[1].split(",")[6] == ""  # clean_induction


def test_keeping_marks_the_others_off() -> None:
    page = opened(ablations="keep 0.1")
    header, _ = overview(page)
    assert header["verb"] == "keep" and header["picked"] == [1]
    assert page.dataframe[0].value["off"].sum() == 47


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"heads": "9.9"}, "layers are 0 to 5"),
        ({"heads": "m0"}, "has no attention pattern"),
        ({"heads": "<script>"}, "not a site"),
    ],
)
def test_what_is_no_head_is_said_and_the_page_stands(query: dict[str, Any], told: str) -> None:
    page = opened(**query)
    assert not page.exception and told in said(page)
    assert page.text_area(key="prompt") is not None
    page.text_area(key="prompt").set_value("1 2 1 2").run()
    assert not page.exception


def test_no_heads_and_very_many_of_a_long_prompt_are_told_in_words() -> None:
    page = opened(heads="")
    assert not page.exception and "Click heads" in " ".join(c.value for c in page.caption)
    assert page.query_params["heads"] == ""
    page = opened(prompt=" ".join(["1"] * 127), heads="a0 a1 a2 a3")
    assert not page.exception and len(closer(page)["heads"]) == 3
    assert "3 of the 32 heads chosen" in " ".join(c.value for c in page.caption)


def test_an_unknown_choice_in_the_link_is_the_default() -> None:
    page = opened(run="nonsense", weight="<b>", score="zz")
    assert not page.exception and overview(page)[0]["run"] == "clean"


def test_markup_in_a_prompt_stays_data() -> None:
    page = opened(prompt="<script>alert(1)</script> 1 2")
    assert not page.exception and "<" in "".join(closer(page)["tokens"])


def test_a_head_switched_off_by_resampling_itself_changes_nothing() -> None:
    e = replace(E, corrupted=E.prompt, method=engine.Method.parse("resample"))
    seen = engine.attention_overview(e)
    assert seen.difference.most < 1e-5


def test_a_chip_tells_how_many_heads_have_a_role_and_a_click_looks_at_them() -> None:
    page = opened(ablations=str(E.ablations))
    seen = engine.attention_overview(E)
    clean, ablated = map(engine.head_roles, (seen.clean_scores, seen.ablated_scores))
    there = [name for name, heads in clean.items() if heads]
    assert len(there) > 1 and there != list(clean)
    (chips,) = (one for one in page.pills if one.key == "_roles")
    assert chips.options == [f"{n.replace('_', ' ')} {len(clean[n])}" for n in there]
    page = chips.set_value(there[1]).run()
    assert page.session_state["score"] == there[1]
    assert page.session_state["heads"] == engine.print_sites(clean[there[1]])
    header, _ = overview(page)
    assert header["first"] == [1, len(clean[there[1]])] and header["score"] == there[1]
    page.session_state["run"] = "difference"
    (chips,) = (one for one in page.run().pills if one.key == "_roles")
    assert f"first token {len(clean['first_token'])} → {len(ablated['first_token'])}" in (
        chips.options
    )
    before = header["first"]
    header, _ = overview(chips.set_value("first_token").run())
    assert header["score"] == "first_token" and header["first"] == before
