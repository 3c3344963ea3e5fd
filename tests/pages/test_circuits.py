"""The Circuits page by Streamlit's own AppTest: what needs no browser."""

from __future__ import annotations

import csv
import io
import json
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import engine
from pages._parts import work
from tests.support.opening import codes_of, page_at
from tests.support.tiny_models import Tiny
from tests.support.waiting import begun, waited

TASK = engine.task("months", "seq-gpt2", 6, seed=1)
ONE = engine.Circuit("one", "seq-gpt2", "months", "0.0-2 0.6 4.0 5.1 m0 m2", 6, 8)
TWO = engine.Circuit("two", "seq-gpt2", "numerals", "0.0 0.3 5.1 m0 m5", 6, 8, method="zero")
THREE = engine.Circuit("three", "seq-gpt2", "ages", "0.0 5.1 m0 m1", 6, 8)
ASKED = {"model": "seq-gpt2", "over": "family", "task": "months", "n_pairs": "6", "seed": "1"}
ASKED |= {"circuits": engine.write_circuits([ONE, TWO, THREE]), "n_controls": "5", "do": "evaluate"}
BARE: dict[str, Any] = {"n_controls": "0", "members": "none"}
"""An evaluation of the circuit alone."""


def opened(library: bool = False, **query: str) -> AppTest:
    page = page_at("circuits", {**ASKED, **query})
    if library:
        page.session_state["library"] = True
        page.run()
    return waited(page)


def sent(page: AppTest, key: str) -> dict:
    """What a figure is given, by its name or its component."""
    protos = [json.loads(c.proto.json) for c in page.get("bidi_component") if c.proto.json]
    return next(p for p in protos if p.get("name") == key or key in p)


def rows(page: AppTest, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(sent(page, name)["csv"])))


def said(page: AppTest) -> str:
    parts = [*page.error, *page.info, *page.warning, *page.caption, *page.markdown]
    return " ".join(p.value for p in parts).replace("\\", "")


def printed(page: AppTest, call: str) -> list[dict]:
    """The rows that the code offered prints."""
    code = codes_of(page, call)[0]
    with redirect_stdout(io.StringIO()) as out:
        exec(code, {})
    return [eval(line, {"nan": float("nan")}) for line in out.getvalue().splitlines()]


def same(shown: list[dict[str, str]], mine: list[dict], *numbers: str) -> None:
    assert len(shown) == len(mine)
    for a, b in zip(shown, mine, strict=True):
        for name, value in b.items():
            if name in numbers and value != "":
                assert float(a[name]) == pytest.approx(value, abs=1e-4)
            else:
                assert a[name] == str(value)


def own(page: AppTest) -> dict[str, engine.Circuit]:
    return {c.name: c for c in engine.read_circuits(page.session_state["circuits"])}


def pressed(page: AppTest, name: str) -> AppTest:
    return waited(next(b for b in page.button if b.label == name).click().run())


def test_an_evaluation_is_the_engines_and_its_python_gives_the_same() -> None:
    page = opened()
    found = engine.evaluate(ONE, TASK, 5)
    shown = {m.label: m.value for m in page.metric}
    for name, run in (("Clean", "clean"), ("Only it", "kept"), ("Without it", "removed")):
        assert shown[name] == f"{getattr(found, run).mean_logit_diff:.3f}"
    table = rows(page, "evaluation")
    same(table, found.table(), "logit_diff", "share", "std", "share_std")
    same(table, printed(page, "engine.evaluate("), "logit_diff", "share", "std", "share_std")
    members = rows(page, "evaluation_members")
    same(members, found.members_table(), "without_it", "adds")
    adds = dict(zip(map(str, found.members), found.minimality, strict=True))
    tints = sent(page, "layers")["values"]
    assert tints[0] == pytest.approx(adds["0.0"], abs=1e-4) and tints[3] is None
    assert tints[2 * 9 + 8] == pytest.approx(adds["m2"], abs=1e-4)


def test_every_score_says_its_sign_method_references_n_and_controls() -> None:
    told = said(opened())
    for part in ("positive is right", "mean_by_position", "6 corrupted prompts", "6 pairs"):
        assert part in told
    assert "5 layer-matched random circuits" in told and "(seed 0)" in told
    assert "faithfulness" in told and "completeness" in told


def test_without_controls_it_is_said_and_from_any_layer_is_offered() -> None:
    assert "No controls were asked for" in said(opened(**BARE))
    wide = engine.Circuit("wide", "seq-gpt2", "months", "0.0-6 m0", 6, 8)
    page = opened(circuits=engine.write_circuits([wide]), members="none")
    assert "No controls: The set has 7 heads of layer 0" in said(page)
    page = pressed(page, "Draw them from any layer")
    assert "Of **5 random circuits**" in said(page)


def test_options_are_the_engines() -> None:
    page = opened(whose="sidebar", method="zero", members="none", matched="anywhere",
                  control_seed="3", circuit="three")  # fmt: skip
    found = engine.evaluate(
        engine.Circuit.from_dict({**THREE.to_dict(), "method": "zero"}),
        TASK, 5, 3, layer_matched=False, minimality=False,
    )  # fmt: skip
    same(
        rows(page, "evaluation"),
        found.table(),
        "logit_diff",
        "share",
        "std",
        "share_std",
    )
    same(
        rows(page, "evaluation"),
        printed(page, "evaluate("),
        "logit_diff",
        "share",
        "std",
        "share_std",
    )


def test_a_circuit_is_switched_in_the_grid() -> None:
    page = pressed(opened(**BARE), "Keep only it in the grid")
    assert page.session_state["verb"] == "keep" and page.session_state["mlps"]
    assert page.text_input(key="sites").value == engine.print_sites(ONE.sites)
    found = engine.score_task(
        "seq-gpt2", TASK, engine.Experiment(ablations=ONE.kept, method="zero")
    )
    assert found.ablated is not None
    assert f"difference of {found.ablated.mean_logit_diff:.3f} on this task" in said(page)
    page = pressed(page, "Ablate it in the grid")
    assert page.session_state["verb"] == "ablate"


def test_two_circuits_are_compared_with_their_chance() -> None:
    page = opened(do="compare", compared="one\ntwo")
    found = engine.overlap(ONE, TWO, layer_matched=True)
    shown = {m.label: m.value for m in page.metric}
    assert shown["Jaccard index"] == f"{found.jaccard:.3f}"
    assert shown["Its chance level"] == f"{found.chance:.3f}"
    assert {row["site"] for row in rows(page, "overlap")} == {
        str(s) for s in (*ONE.sites, *TWO.sites)
    }
    assert printed(page, "engine.overlaps(") == found.table()
    page = pressed(page, "Add the intersection to the library")
    assert own(page)["one ∩ two"].sites == found.shared


def test_many_circuits_are_compared_two_by_two_published_ones_too() -> None:
    some = [c for c in engine.shelf() if c.model == "gpt2"]
    page = opened(do="compare", compared="\n".join(c.name for c in some), matched="anywhere")
    found = engine.overlaps(some)
    same(rows(page, "overlaps"), found.table(), "jaccard", "chance", "share_of_smaller")
    assert printed(page, "engine.overlaps(") == found.table()
    same(rows(page, "circuits"), found.sites_table())


def test_the_intersection_is_put_to_a_third_task_beside_its_controls() -> None:
    page = opened(do="compare", compared="one\nthree", third="yes", task="months")
    common = ONE.intersection(THREE)
    found = engine.evaluate(common, TASK, 5)
    same(
        rows(page, "intersection"),
        found.table(),
        "logit_diff",
        "share",
        "std",
        "share_std",
    )
    assert "5 layer-matched random circuits" in said(page)


def test_circuits_of_other_shapes_are_refused_in_words() -> None:
    page = opened(do="compare", compared="one\nGPT-2, months")
    assert "their sites do not correspond" in said(page) and not page.exception


@pytest.mark.parametrize("inputs", ["whole", "split"])
def test_edges_are_the_engines_and_another_threshold_runs_nothing(inputs: str) -> None:
    page = opened(do="edges", method="resample", whose="sidebar", inputs=inputs, circuit="three")
    e = engine.Experiment("seq-gpt2", method="resample")
    matrix = engine.path_matrix(e, THREE.sites, split=inputs == "split", task=TASK)
    for threshold in ("0.02", "0.1"):
        page.text_input(key="edge_threshold").set_value(threshold).run()
        found = engine.prune_edges(matrix, float(threshold))
        same(rows(page, "edges"), found.table(), "effect", "share")
        if threshold == "0.02":
            before = page.session_state["_edges"]
    same(rows(page, "edges"), printed(page, "prune_edges("), "effect", "share")
    assert page.session_state["_edges"] is before
    assert "6 pairs" in said(page) and "resample" in said(page)


def test_paths_lead_from_chosen_senders_to_chosen_receivers() -> None:
    page = opened(do="edges", paths="chosen", method="resample", senders="0.0-3 m0",
                  receivers="5.1.q m5")  # fmt: skip
    e = engine.Experiment("seq-gpt2", method="resample")
    senders = engine.parse_sites("0.0-3 m0")
    mine = engine.path_patch(e, senders, "5.1.q m5", task=TASK).table()
    same(rows(page, "paths"), mine, "effect", "std", "clean")
    same(rows(page, "paths"), printed(page, "path_patch("), "effect", "std", "clean")


def test_where_no_circuit_fits_the_model_it_is_said(tiny: Tiny) -> None:
    page = opened(model=str(tiny("gpt2")), over="prompt", prompt="t1 t2", circuits="")
    assert "No circuit here is of a model of 3 layers of 4 heads" in said(page)


def test_circuits_are_made_of_what_is_on_named_and_deleted() -> None:
    page = opened(True, ablations="keep 0.1 5.1", circuits="", method="zero", **BARE)
    page = pressed(page, "Keep what is on now")
    (made,) = own(page).values()
    assert engine.print_sites(made.heads) == "0.1 5.1" and made.all_mlps
    assert str(made.method) == "zero" and made.task == "months"
    assert page.query_params["circuits"] == engine.write_circuits([made])
    page.session_state["library"] = True
    page.run()
    next(t for t in page.text_input if t.value == made.name).set_value("mine").run()
    page = pressed(page, "Rename")
    assert list(own(page)) == ["mine"]
    assert not own(pressed(page, "Delete"))


def test_what_is_off_can_be_kept_and_neurons_are_refused() -> None:
    page = pressed(opened(True, ablations="0.1 m2", circuits="", **BARE), "Keep what is off now")
    assert engine.print_sites(next(iter(own(page).values())).sites) == "0.1 m2"
    page = pressed(opened(True, ablations="n0.3", circuits="", **BARE), "Keep what is on now")
    assert "not of n0.3" in said(page) and not own(page)


def test_circuits_are_pasted_and_joined_and_one_twice_is_one() -> None:
    page = opened(True, circuits="", **BARE)
    text = engine.write_circuits([ONE, TWO])
    for _ in range(2):
        page.text_area(key="_circuit_text").set_value(text)
        page.session_state["library"] = True
        page = pressed(page, "Add")
    assert own(page) == {"one": ONE, "two": TWO}
    page.multiselect(key="_joined").set_value(["one", "two"]).run()
    page = pressed(page, "Union")
    assert own(page)["one ∪ two"].sites == ONE.union(TWO).sites
    page.text_area(key="_circuit_text").set_value("{")
    assert "This is not JSON" in said(pressed(page, "Add"))


def test_circuits_too_long_for_a_link_are_left_out_and_it_is_said() -> None:
    many = [engine.Circuit(f"c{i}", "m", "t", "0.0", 6, 8, note="x" * 300) for i in range(40)]
    page = opened(**BARE)
    page.session_state["circuits"] = engine.write_circuits(many)
    page.session_state["library"] = True
    page = waited(page.run())
    assert "too long for a link" in said(page) and "circuits" not in page.query_params
    assert len(own(page)) == 40


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"circuits": "{]"}, "The circuits of this link cannot be read"),
        ({"circuits": '{"name": "a"}'}, "The circuit has no “model”"),
        ({"circuit": "gone"}, "“gone” is not here"),
        ({"circuit": "GPT-2, months"}, "“GPT-2, months” is not one of this model"),
        ({"n_controls": "many"}, "Controls"),
        ({"n_controls": "100000"}, "0 to 1,000 controls"),
        ({"control_seed": "x"}, "seed"),
        ({"task": "greater than"}, "with equal numbers of tokens"),
        ({"do": "compare", "compared": "one\ngone"}, "Choose two circuits or more"),
        ({"do": "edges", "edge_threshold": "little"}, "“little” is not a number"),
        ({"do": "edges", "edge_threshold": "-1"}, "threshold is a share"),
        ({"do": "edges", "paths": "chosen", "receivers": ""}, "No receivers are named"),
        ({"do": "edges", "paths": "chosen", "receivers": "9.1"}, "layers are 0 to 5"),
        ({"do": "edges", "paths": "chosen", "senders": "n0.1"}, "not from n0.1"),
        ({"do": "edges", "circuits": engine.write_circuits(
            [engine.Circuit("big", "seq-gpt2", "", "a0 a1 a2 a3 a4 a5", 6, 8)])},
         "48 members; at most 40"),
        ({"do": "edges", "circuits": engine.write_circuits(
            [engine.Circuit("bare", "seq-gpt2", "", "", 6, 8)])}, "No senders are named"),
        ({"over": "prompt", "prompt": "1 2 3", "answer": ""}, "answer"),
        ({"over": "written", "pairs": "prompt,answer\n1 2 3, 4", "circuit": "two"},
         "distractor"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_and_the_page_stands(query: dict[str, Any], says: str) -> None:
    page = opened(**{**BARE, **query})
    assert says in said(page) and not page.exception


def test_work_that_goes_on_is_stopped_and_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "AT_FIRST", 0.0)
    page = page_at("circuits", {**ASKED, "n_pairs": "40", "n_controls": "200", "members": "none"})
    assert begun(page, "_evaluation").going is not None
    page = pressed(page, "Stop")
    assert page.session_state["_evaluation"].stopped
    assert "Stopped before there was a result" in said(page)
    page.text_input(key="n_controls").set_value("5")
    page = pressed(page, "Begin again")
    assert page.session_state["_evaluation"].result is not None


def test_the_pairs_and_whose_means_are_two_choices_and_both_are_said() -> None:
    texts = tuple(p.corrupted for p in engine.task("months", "seq-gpt2", 4, seed=5).pairs)
    one = replace(ONE, method=engine.Method.parse("mean"), references=texts)
    link: dict[str, Any] = {"circuits": engine.write_circuits([one]), **BARE}
    for means, given, says in (
        ("own", None, "corrupted prompts of the pairs the circuit was found on"),
        ("these", TASK, "6 corrupted prompts of these pairs"),
    ):
        page = opened(means=means, **link)
        found = engine.evaluate(one, TASK, 0, minimality=False, references=given)
        table = rows(page, "evaluation")
        same(table, found.table(), "logit_diff", "share", "std", "share_std")
        same(table, printed(page, "engine.evaluate("), "logit_diff", "share", "std", "share_std")
        assert says in said(page) and not page.exception
        spread = found.spread(found.kept)
        assert f"{found.faithfulness:.1%} ± {spread:.1%} of clean" in [m.delta for m in page.metric]


def test_the_sidebars_references_where_there_are_none_give_way_to_these_pairs_by_a_click() -> None:
    page = opened(means="sidebar", members="none")
    assert "reference" in said(page) and not page.exception
    (button,) = (b for b in page.button if b.label == "Average over these pairs'")
    page = waited(button.click().run())
    assert page.session_state["means"] == "these" and not page.warning, said(page)
    assert "faithfulness" in said(page)
