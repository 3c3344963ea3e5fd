"""A direction is a value: every form of it reads back equal, and what is none is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine

texts = st.text(min_size=1, max_size=12)
prompts = st.lists(st.text(max_size=12), min_size=1, max_size=3)
layers = st.integers(0, 99)
reads = st.sampled_from(["last", "mean"])
sites = st.one_of(st.builds(engine.Stream, layers, st.booleans()), st.builds(engine.MLP, layers))
names = st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
saes = st.builds(engine.Sae, names, sites, st.one_of(st.just(""), digests))
of_features = st.builds(
    lambda sae, index, length: engine.FromFeature(sae, sae.feature(index), length),
    saes, layers, st.sampled_from(["own", "unit"]),
)  # fmt: skip
makings = st.one_of(
    st.builds(engine.FromPrompts, prompts, prompts, st.just("mean"), reads),
    prompts.map(lambda some: engine.FromPrompts(some, some[::-1], "pca")),
    st.builds(engine.FromHead, st.builds(engine.Head, layers, layers), texts),
    st.builds(engine.FromUnembedding, texts, st.text(max_size=12)),
    st.builds(engine.FromFile, digests, st.text(max_size=9)),
)  # fmt: skip
directions = st.one_of(
    st.builds(engine.Direction, names, sites, makings),
    st.builds(engine.Direction, names, st.just(""), of_features),
)
methods = st.one_of(
    st.builds(engine.Method, st.just(engine.Kind.ADD), st.floats(-1e6, 1e6), names),
    st.builds(engine.Method, st.just(engine.Kind.PROJECT), st.none(), names),
)


@given(st.lists(directions, max_size=3, unique_by=lambda one: one.name))
def test_every_form_of_an_experiment_carries_its_directions(several: Any) -> None:
    e = engine.Experiment(prompt="1 2", vectors=several)
    assert e.vectors == tuple(several)
    assert engine.Experiment.from_url(e.to_url()) == e
    assert engine.Experiment.from_json(e.to_json()) == e
    assert eval(e.to_python(), {"engine": engine}) == e
    assert engine.Experiment.readable([("vectors", str(one)) for one in several]) == (
        replace(e, prompt=""), ()
    )  # fmt: skip
    assert engine.Question.from_url(engine.Sweep(e).to_url()) == engine.Sweep(e)
    assert hash(engine.Experiment.from_json(e.to_json())) == hash(e)
    assert all("\n" not in str(one) and engine.Direction.parse(str(one)) == one for one in several)


@given(methods)
def test_a_method_is_read_back_as_it_is_written(method: Any) -> None:
    assert engine.Method.parse(str(method)) == method
    change = engine.Change("r5 m3", method, "prompt")
    assert engine.Change.parse(str(change)) == change


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("add(ordinals, 4) r5 @3", engine.Change("r5", "add(ordinals,4)", "3")),
        (" add( a-b_1 , -0.5 ) m2", engine.Change("m2", "add(a-b_1, -0.5)")),
        ("project(ordinals) r0-3", engine.Change("r0 r1 r2 r3", "project( ordinals )")),
    ],
)
def test_the_grammar_of_changes_along_a_direction(written: str, meant: Any) -> None:
    assert engine.Change.parse(written) == meant
    assert engine.Change.parse(str(meant)) == meant


def test_a_direction_is_written_by_its_making_and_without_defaults() -> None:
    one = engine.Direction("a", "r5", engine.FromPrompts(["1"], ["2"]))
    assert str(one) == '{"name":"a","site":"r5","prompts":{"plus":["1"],"minus":["2"]}}'
    e = engine.Experiment(vectors=[one])
    assert json.loads(e.to_json())["vectors"] == [one.to_dict()]
    assert "vectors" not in engine.Experiment(prompt="1").to_json()
    assert e.clean == e and replace(e, changes="project(a) r3").clean == e


@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("add r5", "needs a number, as in add(ordinals, 4)"),
        ("add(ordinals) r5", "needs a number"),
        ("add(, 4) r5", "names a direction"),
        ("add(a b, 4) r5", "“a b” in add is no name"),
        ("add(a, b) r5", "“b” in “add(a, b)” is not a number"),
        ("add(a, 1e7) r5", "from −1,000,000 to 1,000,000"),
        ("add(a, nan) r5", "finite"),
        ("add(a, inf) r5", "finite"),
        ("project r5", "names a direction, as in project(ordinals)"),
        ("project(a, 3) r5", "takes no number"),
        ("scale(a) r5", "“a” in “scale(a)” is not a number"),
        ("zero(a) r5", "“a” in “zero(a)” is not a number"),
        ("project(" + "a" * 41 + ") r5", "no name of a direction"),
    ],
)
def test_a_change_that_cannot_be_read_is_told_by_its_part(method: str, part: str) -> None:
    with pytest.raises(engine.EngineError) as told:
        engine.Change.parse(method)
    assert part in str(told.value) and str(told.value).endswith(".")


@pytest.mark.parametrize("kind", [engine.Experiment, "circuit", "search"])
def test_switching_off_has_no_direction(kind: Any) -> None:
    with pytest.raises(engine.ExperimentError, match="written among the changes"):
        match kind:
            case "circuit":
                engine.Circuit("a", "m", "", "0.1", 6, 8, method="add(a, 4)")
            case "search":
                engine.Search("m", [engine.Pair("1 2")], method="project(a)")
            case _:
                engine.Experiment(ablations="r5", method="add(a, 4)")


PLAIN = {"name": "a", "site": "r5", "unembedding": {"token": " 5"}}
DIGEST = "0" * 64


def of_prompts(**made: Any) -> dict[str, Any]:
    return {"name": "a", "site": "r5", "prompts": {"plus": ["1"], "minus": ["1"], **made}}


def of_feature(site: str = "", **made: Any) -> dict[str, Any]:
    return {"name": "a", "site": site, "feature": {"sae": "b@r3", "feature": "f3.1", **made}}


BAD: list[tuple[Any, str]] = [
    (of_feature("r4"), "of a feature at r3, which is its site"),
    (of_feature(feature="f4.1"), "Name one feature of “b”, as in f3.12"),
    (of_feature(sae="b"), "is no SAE"),
    (of_feature(length="2"), "own or unit"),
    ("", "written as JSON"),
    ("[", "written as JSON"),
    ("[" * 100_000, "written as JSON"),
    ("3", "an object"),
    ({}, "one of prompts, head, unembedding, feature, file"),
    ({"name": "a", "site": "r5"}, "one of prompts"),
    ({**PLAIN, "file": {"digest": DIGEST}}, "one of prompts"),
    ({**PLAIN, "name": "a b"}, "names no direction"),
    ({**PLAIN, "name": ""}, "names no direction"),
    ({**PLAIN, "name": 3}, "names no direction"),
    ({**PLAIN, "name": "é"}, "names no direction"),
    ({**PLAIN, "site": "5.1"}, "lies in the residual stream"),
    ({**PLAIN, "site": "r5 r6"}, "one site, not 2"),
    ({**PLAIN, "site": ""}, "one site, not 0"),
    ({**PLAIN, "site": "rx"}, "is not a site"),
    ({**PLAIN, "site": None}, "names no sites"),
    ({**PLAIN, "unembedding": {}}, "a text, not ''"),
    ({**PLAIN, "unembedding": {"token": 5}}, "a text, not 5"),
    ({**PLAIN, "unembedding": {"token": "5", "more": 1}}, "has token, minus"),
    ({**PLAIN, "unembedding": "5"}, "has token, minus"),
    ({"name": "a", "site": "r5", "prompts": {"plus": ["1"]}}, "has plus, minus, by, read"),
    (of_prompts(plus="12"), "list of prompts"),
    (of_prompts(plus=[]), "1 to 500"),
    (of_prompts(plus=[1]), "a text, not 1"),
    (of_prompts(by="svd"), "mean or"),
    (of_prompts(read=3), "last or"),
    (of_prompts(plus=["1", "2"], by="pca"), "pair"),
    ({"name": "a", "site": "r5", "head": {"head": "m5", "token": "1"}}, "names one, as in 5.1"),
    ({"name": "a", "site": "r5", "head": {"head": "5.1"}}, "a text"),
    ({"name": "a", "site": "r5", "file": {"digest": "../../etc/passwd"}}, "no SHA-256"),
    ({"name": "a", "site": "r5", "file": {"digest": DIGEST[1:] + "\n"}}, "no SHA-256"),
]  # fmt: skip


@pytest.mark.parametrize("given", BAD, ids=lambda given: str(given)[1])
def test_what_is_no_direction_is_refused_in_a_sentence(given: Any) -> None:
    wrong, part = given
    text = wrong if isinstance(wrong, str) else json.dumps(wrong)
    with pytest.raises(engine.EngineError) as told:
        engine.Experiment(vectors=[wrong])
    assert part in str(told.value) and str(told.value).endswith("."), str(told.value)
    with pytest.raises(engine.EngineError) as again:
        engine.Experiment.from_pairs([("vectors", text)])
    assert part in str(again.value) and str(again.value).endswith("."), str(again.value)


def test_directions_are_few_short_and_each_of_its_own_name() -> None:
    one = engine.Direction.parse(PLAIN)
    with pytest.raises(engine.ExperimentError, match="Two directions are called “a”"):
        engine.Experiment(vectors=[one, one])
    with pytest.raises(engine.ExperimentError, match="More than 50 directions"):
        engine.Experiment(vectors=[replace(one, name=f"a{i}") for i in range(51)])
    with pytest.raises(engine.ExperimentError, match="200,003 characters"):
        long = engine.FromPrompts(["x" * 200_000], ["1"])
        engine.Experiment(model="m", prompt="1", vectors=[engine.Direction("a", "r5", long)])
    with pytest.raises(engine.ExperimentError, match="no list of directions"):
        engine.Experiment(vectors=3)  # type: ignore[arg-type]
