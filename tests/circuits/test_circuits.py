"""Circuits as values, beside each other, and put to the test."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from functools import reduce
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import engine
from engine.passes import forward
from tests.conftest import IN_CI, SHARED
from tests.support.reference import Change, Reference, always
from tests.support.some import some
from tests.support.tiny_models import Tiny

LAYERS, HEADS = 3, 4
WORDS = [f"t{i}" for i in range(20)]


def circuit(sites: str = "0.1 1.2 m0", model: str = "m", **others: Any) -> engine.Circuit:
    return engine.Circuit("mine", model, "words", sites, LAYERS, HEADS, **others)


def task(n: int = 4, seed: int = 0) -> engine.Task:
    """Pairs of which every prompt has five words. The answer is what makes the clean score
    positive; a random model has no other."""
    rng = Random(seed)
    pairs = [
        engine.Pair(
            *(" ".join(rng.choices(WORDS, k=5)) for _ in range(2)), *rng.sample(["t30", "t31"], 2)
        )
        for _ in range(n)
    ]
    return engine.Task("words", tuple(pairs))


def solved(model: str) -> engine.Task:
    """The task with answer and distractor as the model has them."""
    asked = task()
    diffs = engine.score_task(model, asked).clean.logit_diff
    pairs = [
        pair if diff > 0 else replace(pair, answer=pair.distractor, distractor=pair.answer)
        for pair, diff in zip(asked.pairs, diffs, strict=True)
    ]
    return engine.Task("words", tuple(pairs))


sites = st.lists(
    st.one_of(
        st.builds(engine.Head, st.integers(0, LAYERS - 1), st.integers(0, HEADS - 1)),
        st.builds(engine.MLP, st.integers(0, LAYERS - 1)),
    ),
    max_size=8,
).map(tuple)
texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
thresholds = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@given(sites, texts, thresholds, st.none() | st.integers(0, 99))
def test_every_form_reads_back_equal(some: Any, text: Any, threshold: Any, n: Any) -> None:
    bare = engine.Circuit(text, "m", "t", some, LAYERS, HEADS)
    one = replace(bare, source=text, threshold=threshold, n=n)
    assert engine.Circuit.from_json(one.to_json()) == one
    assert eval(one.to_python(), {"engine": engine}) == one
    assert engine.Circuit.from_csv(one.to_csv(), text, "m", "t", LAYERS, HEADS) == bare


def test_sites_are_in_order_each_once_and_the_verb_is_keep() -> None:
    one = circuit("m2 1.2 0.1 m0 1.2")
    assert engine.print_sites(one.sites) == "0.1 1.2 m0 m2"
    assert str(one.kept) == "keep+mlps 0.1 1.2 m0 m2" and str(one.removed) == "0.1 1.2 m0 m2"
    assert circuit("a1 1.2 m0") == circuit("1.0-3 m0")
    heads = circuit("1.2", all_mlps=True)
    assert str(heads.kept) == "keep 1.2" and str(heads.removed) == "1.2"
    assert len(heads.mlps) == LAYERS and heads.to_csv().count("mlp") == LAYERS
    assert str(one.method) == "mean_by_position"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: circuit("3.0"), "3.0 is not in a model of 3 layers of 4 heads"),
        (lambda: circuit("0.4"), "0.4 is not in a model"),
        (lambda: circuit("n0.4"), "made of heads .* not of n0.4"),
        (lambda: circuit("m1", all_mlps=True), "keeps all MLPs and names m1"),
        (lambda: circuit(method="zeros"), "“zeros” is not a method"),
        (lambda: replace(circuit(""), n_layers=-1), "0 to 10,000 layers"),
        (lambda: engine.Circuit.from_json("[]"), "is an object"),
        (lambda: engine.Circuit.from_json("{"), "not JSON"),
        (lambda: engine.Circuit.from_json('{"name": "a"}'), "has no “model”"),
        (lambda: engine.Circuit.from_json('{"nmae": "a"}'), "has no “nmae”"),
        (lambda: engine.Circuit.from_json('{"n_layers": true}'), "“n_layers” of a circuit cannot"),
        (lambda: engine.Circuit.from_json('{"sites": [1]}'), "“sites” of a circuit cannot"),
        (lambda: engine.Circuit.from_csv("head\n1", "a", "m", "t", 3, 4), "no column “site”"),
        (lambda: engine.Circuit.from_csv("site\n1.2\n9x", "a", "m", "t", 3, 4), "Line 3: “9x”"),
    ],
)
def test_what_is_no_circuit_is_told(make: Any, told: str) -> None:
    with pytest.raises(engine.EngineError, match=told):
        make()


def test_the_shelf_has_the_published_circuits_with_their_source() -> None:
    path = SHARED / "facts" / "published_circuits.json"
    if not path.is_file():
        if IN_CI:
            pytest.fail(f"{path} is missing; in CI nothing is left out")
        pytest.skip(f"{path} is not on this machine")
    published = json.loads(path.read_text("utf-8"))
    names = {"numerals": "numerals", "numwords": "number words", "months": "months"}
    ours = {(c.model, c.task): c for c in engine.shelf() if "2311.04131" in c.source}
    for theirs in published["circuits"]:
        one = ours.pop((theirs["model"], names[theirs["task"]]))
        assert {(h.layer, h.head) for h in one.heads} == set(map(tuple, theirs["heads"]))
        assert one.all_mlps == (theirs["mlps"] is None)
        if theirs["mlps"] is not None:
            assert [m.layer for m in one.mlps] == sorted(theirs["mlps"])
        assert "2311.04131" in one.source and str(one.method) == "mean_by_position"
    (shared,) = ours.values()
    told = published["key_heads"][shared.model]["shared by the three tasks"]
    assert shared.heads == tuple(sorted(engine.parse_sites(" ".join(told))))


def test_the_three_tasks_of_llama_share_what_is_said_to_be_shared() -> None:
    llama = [c for c in engine.shelf() if "Llama" in c.model]
    (said,) = (c for c in llama if "shared" in c.name)
    both = reduce(engine.Circuit.intersection, [c for c in llama if c is not said])
    assert both.sites == said.sites and both.all_mlps


def test_union_and_intersection_are_those_of_sets() -> None:
    a, b = circuit("0.1 1.2 m0"), circuit("1.2 2.0 m0 m1")
    assert engine.print_sites(a.union(b).sites) == "0.1 1.2 2.0 m0 m1"
    assert engine.print_sites(a.intersection(b).sites) == "1.2 m0"
    heads = circuit("0.1 2.0", all_mlps=True)
    assert a.union(heads).all_mlps and engine.print_sites(a.union(heads).sites) == "0.1 1.2 2.0"
    assert engine.print_sites(a.intersection(heads).sites) == "0.1 m0"


def test_an_overlap_counts_what_is_shared() -> None:
    found = engine.overlap(circuit("0.1 1.2 m0"), circuit("1.2 2.0 m0 m1"))
    assert engine.print_sites(found.shared) == "1.2 m0"
    assert engine.print_sites(found.only_a) == "0.1"
    assert engine.print_sites(found.only_b) == "2.0 m1"
    assert found.jaccard == 2 / 5 and found.share_of_smaller == 2 / 3
    heads = engine.overlap(circuit("0.1 1.2 m0"), circuit("1.2", all_mlps=True))
    assert heads.jaccard == 1 / 2 and "only heads are compared" in heads.notes[0]
    assert engine.overlap(circuit(""), circuit("")).jaccard == 1
    other = engine.overlap(circuit("0.1"), circuit("0.1", model="n"))
    assert "two models, m and n" in other.notes[0]


def every_set(a: engine.Circuit, layer_matched: bool) -> list[set]:
    """Every circuit with as many heads (in each layer) and MLPs."""
    heads = [engine.Head(i, h) for i in range(LAYERS) for h in range(HEADS)]
    pools: list[tuple[list[Any], int]] = [
        (list(map(engine.MLP, range(LAYERS))), sum(isinstance(s, engine.MLP) for s in a.sites))
    ]
    if layer_matched:
        for i in range(LAYERS):
            pools.append(([h for h in heads if h.layer == i], sum(h.layer == i for h in a.heads)))
    else:
        pools.append((heads, len(a.heads)))
    drawn = [list(itertools.combinations(pool, n)) for pool, n in pools]
    return [set(itertools.chain(*parts)) for parts in itertools.product(*drawn)]


@pytest.mark.parametrize("layer_matched", [False, True])
@pytest.mark.parametrize(
    ("a", "b"),
    [("0.1 1.2 m0", "1.2 2.0 m0 m1"), ("0.0-3 m0-2", "0.1 0.2"), ("", "1.1"), ("m0", "m1")],
)
def test_the_chance_level_is_the_average_over_every_pair_of_sets(
    a: str, b: str, layer_matched: bool
) -> None:
    one, other = circuit(a), circuit(b)
    fixed = {*one.sites}  # by symmetry one of the two may be held fixed
    averages = [
        len(fixed & drawn) / len(fixed | drawn) if fixed | drawn else 1.0
        for drawn in every_set(other, layer_matched)
    ]
    found = engine.overlap(one, other, layer_matched)
    assert found.chance == pytest.approx(np.mean(averages), abs=1e-12)


def test_circuits_of_other_shapes_are_not_compared() -> None:
    gpt, llama = (next(c for c in engine.shelf() if name in c.model) for name in ("gpt2", "Llama"))
    for compare in (engine.overlap, engine.Circuit.union, engine.Circuit.intersection):
        with pytest.raises(engine.EngineError, match=r"12 layers of 12 heads .* 32 layers of 32"):
            compare(gpt, llama)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_keeping_and_removing_equal_plain_hooks_on_the_hugging_face_model(
    kind: str, tiny: Tiny
) -> None:
    directory = str(tiny(kind))
    asked = solved(directory)
    one = circuit("0.1 1.2 2.3 m0", directory)
    found = engine.evaluate(one, asked, controls=3)
    ref = Reference(directory)
    ids = {
        t: engine.tokenize(directory, t).ids for p in asked.pairs for t in (p.prompt, p.corrupted)
    }
    every = [("head", i, h) for i in range(LAYERS) for h in range(HEADS)]
    every += [("mlp", i, 0) for i in range(LAYERS)]
    means = {
        site: torch.stack([ref.value(*site, ids[p.corrupted]) for p in asked.pairs]).mean(0)
        for site in every
    }
    kept = {("head", 0, 1), ("head", 1, 2), ("head", 2, 3), ("mlp", 0, 0)}

    def expected(ablated: set[tuple[str, int, int]]) -> float:
        diffs = []
        for pair in asked.pairs:
            changes = [Change(*site, tuple(range(6)), always(means[site])) for site in ablated]
            logits = ref.logits(ids[pair.prompt], changes)[-1]
            a, d = (int(w[1:]) + 3 for w in (pair.answer, pair.distractor))
            diffs.append(float(logits[a] - logits[d]))
        return float(np.mean(diffs))

    assert found.clean.mean_logit_diff == pytest.approx(expected(set()), abs=1e-4)
    assert found.kept.mean_logit_diff == pytest.approx(expected(set(every) - kept), abs=1e-4)
    assert found.removed.mean_logit_diff == pytest.approx(expected(kept), abs=1e-4)
    assert found.empty.mean_logit_diff == pytest.approx(expected(set(every)), abs=1e-4)
    assert found.members == one.sites
    for site, score in zip(one.sites, found.without, strict=True):
        match site:
            case engine.Head(layer, head):
                named = ("head", layer, head)
            case engine.MLP(layer):
                named = ("mlp", layer, 0)
        assert score == pytest.approx(expected((set(every) - kept) | {named}), abs=1e-4)
    assert found.faithfulness == pytest.approx(
        expected(set(every) - kept) / expected(set()), abs=1e-3
    )
    assert found.completeness == pytest.approx(expected(kept) / expected(set()), abs=1e-3)
    controls = found.controls
    assert controls is not None and len(controls.sites) == 3 and controls.layer_matched
    for drawn, score in zip(controls.sites, controls.kept, strict=True):
        assert not set(drawn) & set(one.sites)
        again = engine.evaluate(replace(one, sites=drawn), asked, 0, minimality=False)
        assert score == pytest.approx(again.kept.mean_logit_diff, abs=1e-4)


def test_the_whole_model_is_a_circuit_and_nothing_is_none(tiny: Tiny) -> None:
    directory = str(tiny("gpt2"))
    asked = solved(directory)
    whole = engine.evaluate(circuit("0-2.0-3 m0-2", directory), asked, minimality=False)
    assert whole.faithfulness == pytest.approx(1, abs=1e-5)
    assert whole.removed.logit_diff == pytest.approx(whole.empty.logit_diff, abs=1e-5)
    assert whole.controls is None and whole.kept_beats is None
    assert any("keeps 3 of 3 MLPs" in note for note in whole.notes)
    assert any("No controls" in note and "layer 0" in note for note in whole.notes)
    nothing = engine.evaluate(circuit("", directory), asked)
    assert nothing.completeness == pytest.approx(1, abs=1e-5)
    assert nothing.kept.logit_diff == pytest.approx(nothing.empty.logit_diff, abs=1e-5)
    assert len(nothing.without) == 0 and nothing.controls is None
    assert any("No controls: A set without sites" in note for note in nothing.notes)


def test_controls_keep_the_mlps_where_there_are_no_others_and_a_seed_gives_them_again(
    tiny: Tiny,
) -> None:
    directory = str(tiny("llama"))
    asked = solved(directory)
    one = circuit("0.1 1.2 m0 m2", directory)
    found = engine.evaluate(one, asked, controls=5, seed=3)
    assert found.controls is not None and found.controls.same_mlps and found.controls.seed == 3
    for drawn in found.controls.sites:
        assert {s for s in drawn if isinstance(s, engine.MLP)} == set(one.mlps)
        assert not set(drawn) & set(one.heads)
    assert any("other heads" in note for note in found.notes)
    again = engine.evaluate(one, asked, controls=5, seed=3)
    assert some(again.controls).sites == found.controls.sites
    np.testing.assert_array_equal(some(again.controls).kept, found.controls.kept)
    beaten = np.mean(found.controls.kept < found.kept.mean_logit_diff)
    assert found.kept_beats == pytest.approx(beaten)
    heads = engine.evaluate(circuit("0.1", directory, all_mlps=True), asked, controls=3)
    assert all(len(drawn) == 1 for drawn in some(heads.controls).sites)


def test_averages_are_taken_once(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = str(tiny("gpt2"))
    asked = solved(directory)
    engine.load(directory).means.clear()
    captured: list[Any] = []
    run = forward.run

    def capturing(model: Any, rows: Any) -> Any:
        captured.extend(row.ids for row in rows if row.captures)
        return run(model, rows)

    monkeypatch.setattr(forward, "run", capturing)
    engine.evaluate(circuit("0.1 m0", directory), asked, controls=4)
    assert len(captured) == len(set(captured)) == len(asked.references)


def test_what_cannot_be_evaluated_is_told(tiny: Tiny) -> None:
    directory = str(tiny("gpt2"))
    asked = solved(directory)
    shelved = engine.shelf()[0]
    with pytest.raises(engine.EngineError, match=r"12 layers of 12 heads; .* has 3 of 4"):
        engine.evaluate(shelved, asked, model=directory)
    swapped = [replace(p, answer=p.distractor, distractor=p.answer) for p in asked.pairs]
    with pytest.raises(engine.EngineError, match="whole model does not do “words”"):
        engine.evaluate(circuit("0.1", directory), engine.Task("words", tuple(swapped)))
    with pytest.raises(engine.EngineError, match="Pair 1 of “words” has no logit difference"):
        bare = tuple(replace(p, distractor="") for p in asked.pairs)
        engine.evaluate(circuit("0.1", directory), engine.Task("words", bare))
    with pytest.raises(engine.EngineError, match=r"Pair 1 of “words”.*“t3 t4” is 3 tokens"):
        short = (asked.pairs[0], engine.Pair("t1 t2", "t3 t4", "t5", "t6"))
        engine.evaluate(circuit("0.1", directory), engine.Task("words", short))


def test_an_evaluation_tells_how_far_it_is_and_can_be_called_off(tiny: Tiny) -> None:
    directory = str(tiny("gpt2"))
    job = engine.begin(engine.Evaluate(circuit("0.1", directory), solved(directory), 200))
    job.cancel()
    with pytest.raises(engine.Cancelled):
        job.result(60)
    done = engine.begin(engine.Evaluate(circuit("0.1", directory), solved(directory), 2))
    done.result(60)
    assert done.progress == 1


@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
@pytest.mark.parametrize("family", ["numerals", "number words", "months"])
def test_the_bundled_models_own_circuits_do_what_is_said_of_them(model: str, family: str) -> None:
    (one,) = (c for c in engine.shelf() if (c.model, c.task) == (model, family))
    assert one.source == "This project: make circuits" and one.threshold == 0.2
    asked = engine.task(family, model, some(one.n), some(one.seed))
    asked = asked.without_wrong(engine.score_task(model, asked))
    found = engine.evaluate(one, asked, 0, minimality=False)
    assert found.kept.mean_logit_diff == pytest.approx(one.score, abs=1e-3)
    assert found.faithfulness > 0.8


@pytest.mark.parametrize("n", [-1, 1_001])
def test_more_controls_than_can_be_drawn_are_refused_before_anything_is_run(n: int) -> None:
    search = engine.Search("m", task())
    for question in (
        lambda: engine.Evaluate(circuit(), task(), n),
        lambda: engine.Discover(search, n),
        lambda: engine.DiscoverMany(search, 2, n),
        lambda: engine.GenerateMany(engine.Experiment("m"), (engine.Example("1 2"),), controls=n),
    ):
        with pytest.raises(engine.ExperimentError, match=f"0 to 1,000 controls .* not {n:,}"):
            question()
