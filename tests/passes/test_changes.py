"""Several changes in one experiment: their written form; each equals plain hooks, in order."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

import engine
from tests.support.family_reference import Change, FamilyReference, acts_at
from tests.support.some import some
from tests.support.tiny_models import HEADS, LAYERS, WORDS

KINDS = ("gpt2", "gptj", "llama", "gemma2", "olmo2", "phi3")
METHODS = ("zero", "mean", "mean_by_position", "resample", "scale(0.4)", "scale(-1.5)", "set(0.6)")
FIXED = ("mean_by_position", "resample")
N = 4
"""Tokens of every prompt drawn here: words, and BOS where there is one."""
CLOSE: dict[str, Any] = {"atol": 2e-4, "rtol": 1e-4}

layers, heads = st.integers(0, LAYERS - 1), st.integers(0, HEADS - 1)
parts = st.sampled_from(["q", "k", "v", "pattern"])
sites = st.one_of(
    st.builds(engine.Head, layers, heads),
    st.builds(engine.Heads, layers),
    st.builds(engine.MLP, layers),
    st.builds(engine.Neuron, layers, st.integers(0, 47)),
    st.builds(engine.HeadPart, layers, heads, parts),
    st.builds(engine.Stream, layers, st.booleans()),
    st.just(engine.Stream(LAYERS)),
)
whole = st.one_of(st.builds(engine.Head, layers, heads), st.builds(engine.MLP, layers))
ablations = st.one_of(
    st.lists(sites, min_size=1, max_size=3, unique=True).map(lambda s: engine.Ablations(tuple(s))),
    st.builds(
        lambda kept, mlps: engine.Ablations(tuple(kept), "keep", mlps),
        st.lists(whole, max_size=3, unique=True),
        st.booleans(),
    ),
)
numbers = st.floats(-1e6, 1e6, allow_nan=False)
methods = st.one_of(
    st.sampled_from(METHODS).map(engine.Method.parse),
    st.builds(engine.Method, st.sampled_from([engine.Kind.SCALE, engine.Kind.SET]), numbers),
)
positions = st.one_of(
    st.sampled_from(["all", "prompt", "generated"]),
    st.lists(st.integers(-3, 3), min_size=1, max_size=3),
).map(engine.Positions.parse)
changes = st.builds(engine.Change, ablations, methods, positions)


@given(changes)
def test_a_change_is_read_back_as_it_is_written(change: Any) -> None:
    assert engine.Change.parse(str(change)) == change
    assert hash(engine.Change.parse(str(change))) == hash(change)


@given(st.lists(changes, max_size=4))
def test_every_form_of_an_experiment_carries_its_changes(several: Any) -> None:
    e = engine.Experiment(prompt="1 2", changes=several)
    assert e.changes == tuple(several)
    assert engine.Experiment.from_url(e.to_url()) == e
    assert engine.Experiment.from_json(e.to_json()) == e
    assert eval(e.to_python(), {"engine": engine}) == e
    assert e.clean == engine.Experiment(prompt="1 2")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("zero 9.1 m9", engine.Change("9.1 m9")),
        ("zero ablate 9.1", engine.Change("9.1")),
        ("  scale( 0.5 )  n5.123@prompt ", engine.Change("n5.123", "scale(0.5)", "prompt")),
        ("resample 5.1.q @3", engine.Change("5.1.q", "resample", "3")),
        ("set(-2) r4.mid @0-2, -1", engine.Change("r4.mid", "set(-2)", "0-2,-1")),
        ("mean keep 9.1 m2", engine.Change("keep 9.1 m2", "mean")),
        ("mean keep+mlps", engine.Change("keep+mlps", "mean")),
    ],
)
def test_the_grammar_of_a_change(written: str, meant: Any) -> None:
    assert engine.Change.parse(written) == meant
    assert engine.Change.parse(str(meant)) == meant


@pytest.mark.parametrize(
    ("written", "part"),
    [
        ("9.1", "begin with what becomes"),
        ("", "begin with what becomes"),
        ("zero", "names sites"),
        ("zero @3", "names sites"),
        ("zap 9.1", "“zap” is not a method"),
        ("scale 9.1", "needs a number"),
        ("scale(x) 9.1", "“x”"),
        ("set(nan) 9.1", "finite"),
        ("zero 9.x m2", "“9.x” is not a site"),
        ("zero 9.1 @", "names no positions"),
        ("zero 9.1 @here", "“here” names no positions"),
        ("zero 9.1 @1 @2", "names no positions"),
        ("mean keep n1.2", "neurons can only be ablated"),
    ],
)
def test_what_is_no_change_is_told_by_its_part(written: str, part: str) -> None:
    with pytest.raises(engine.EngineError) as told:
        engine.Change.parse(written)
    assert part in str(told.value) and str(told.value).endswith(".")
    with pytest.raises(engine.EngineError) as again:
        engine.Experiment.from_url(engine.Experiment().to_url() + f"&changes={written or '+x'}")
    assert str(again.value).endswith(".")


def test_changes_beyond_what_is_sensible_are_refused_before_they_are_made() -> None:
    with pytest.raises(engine.EngineError, match="More than 50 changes"):
        engine.changes(itertools.repeat("zero 1.1"))
    with pytest.raises(engine.EngineError, match="100,000 sites and positions"):
        engine.changes(["zero n1.0-15000"] * 50)
    with pytest.raises(engine.EngineError, match="100,000 sites and positions"):
        engine.changes(["zero 1.1 @0-60000"] * 50)


OLD = {
    "?model=seq-gpt2&prompt=1+2+3&ablations=1.3+m2&method=scale%280.5%29&positions=-1%2C0-2":
        '{"model": "seq-gpt2", "prompt": "1 2 3", "ablations": "1.3 m2", "method": "scale(0.5)", '
        '"positions": "-1,0-2"}',
    "?model=m&prompt=+a&corrupted=b&answer=+5&distractor=+4&ablations=keep%2Bmlps+1.3&method=mean"
    "&references=x+y&references=%C3%A9&prepend_bos=false":
        '{"model": "m", "prompt": " a", "corrupted": "b", "answer": " 5", "distractor": " 4", '
        '"ablations": "keep+mlps 1.3", "method": "mean", "references": ["x y", "\\u00e9"], '
        '"prepend_bos": false}',
    "?model=seq-llama&method=resample&positions=generated":
        '{"model": "seq-llama", "method": "resample", "positions": "generated"}',
}  # fmt: skip
"""Links as they were written before there were several changes, and their JSON."""


@pytest.mark.parametrize("link", OLD)
def test_links_and_json_of_old_are_read_and_written_as_ever(link: str) -> None:
    e = engine.Experiment.from_url(link)
    assert e.to_url() == link and e.to_json() == OLD[link]
    assert engine.Experiment.from_json(OLD[link]) == e
    assert "changes" not in e.to_python()


def test_the_short_form_is_the_first_of_the_changes() -> None:
    further = "scale(2) m1 @0\n\nset(1) r2"
    e = engine.Experiment(ablations="0.1", method="mean", positions="prompt", changes=further)
    assert list(map(str, e.every_change)) == [
        "mean 0.1 @prompt", "scale(2.0) m1 @0", "set(1.0) r2"
    ]  # fmt: skip
    assert replace(e, ablations="").every_change == e.changes


def ids_of(directory: str, text: str) -> tuple[int, ...]:
    return engine.tokenize(directory, text).ids


def places(sites: engine.Ablations, ref: FamilyReference) -> list[tuple[str, int, int | None]]:
    """Where and which, worked out by itself: name, layer, and head, neuron or None."""
    found: set[tuple[str, int, int | None]] = set()
    for site in sites.sites:
        match site:
            case engine.Head(layer, head):
                found.add(("z", layer, head))
            case engine.Heads(layer):
                found |= {("z", layer, h) for h in range(HEADS)}
            case engine.MLP(layer):
                found.add(("mlp_out", layer, None))
            case engine.Neuron(layer, index):
                found.add(("post", layer, index))
            case engine.HeadPart(layer, head, "k" | "v" as part):
                found.add((part, layer, head * ref.n_groups // HEADS))
            case engine.HeadPart(layer, head, part):
                found.add((part, layer, head))
            case engine.Stream(layer, mid):
                last = layer == LAYERS
                name = "resid_post" if last else "resid_mid" if mid else "resid_pre"
                found.add((name, layer - last, None))
    if sites.verb == "keep":
        every: set[tuple[str, int, int | None]] = {
            ("z", i, h) for i in range(LAYERS) for h in range(HEADS)
        }
        every |= {("mlp_out", i, None) for i in range(LAYERS) if sites.mlps}
        found = every - found
    return sorted(found, key=str)


def hooks(e: engine.Experiment, ref: FamilyReference, n: int) -> list[Change]:
    """Plain hooks for an experiment's changes in a text of n tokens, in the order written."""
    n_prompt = len(ids_of(e.model, e.prompt))
    found = []
    for change in e.every_change:
        word = str(change.becomes).partition("(")[0]
        every = acts_at(change.positions, n_prompt, n)
        where = tuple(p for p in every if p < n_prompt or word not in FIXED)
        for name, layer, index in places(change.sites, ref):
            found.append(hook(e, ref, change, word, (name, layer), index, where))
    return [one for one in found if one.positions]


def hook(e: Any, ref: Any, change: Any, word: Any, at: Any, index: Any, where: Any) -> Change:
    number = change.becomes.number

    def value(text: str) -> Tensor:
        whole = ref.values(ids_of(e.model, text), [at])[at]
        size = ref.size(*at)
        if index is None:
            return whole
        return whole.reshape(len(whole), size, *whole.shape[2:])[:, index : index + 1]

    become: Any
    match word:
        case "zero":
            become = torch.zeros_like
        case "set":
            become = lambda old: torch.full_like(old, number)  # noqa: E731
        case "scale":
            become = lambda old: old * number  # noqa: E731
        case "mean":
            average = torch.cat([value(text) for text in e.references]).mean(0)
            become = lambda old: average.expand_as(old)  # noqa: E731
        case "mean_by_position":
            each = torch.stack([value(text) for text in e.references]).mean(0)
            become = lambda old: each[list(where)]  # noqa: E731
        case "resample":
            other = value(e.corrupted)
            become = lambda old: other[list(where)]  # noqa: E731
    name, layer = at
    return Change(name, layer, None if index is None else (index,), where, become)


def possible(change: engine.Change, ref: FamilyReference) -> bool:
    """Whether a family has the places, and the method a value there."""
    there = places(change.sites, ref)
    averaged = change.becomes.kind is engine.Kind.MEAN
    return all(
        ref.has(name, layer) and not (name == "pattern" and averaged) for name, layer, _ in there
    ) and (ref.paths.mid != "" or not any(name == "resid_mid" for name, _, _ in there))


@st.composite
def experiments(
    draw: st.DrawFn, directory: str, ref: FamilyReference, where: Any = positions
) -> Any:
    text = st.lists(st.sampled_from(WORDS), min_size=N, max_size=N).map(" ".join)
    few = st.sampled_from(METHODS).map(engine.Method.parse)
    one = st.builds(engine.Change, ablations, few, where).filter(lambda c: possible(c, ref))
    drawn = draw(st.lists(one, min_size=2, max_size=3))
    e = engine.Experiment(
        directory, draw(text), corrupted=draw(text), references=[draw(text), draw(text)]
    )
    if draw(st.booleans()):
        return replace(e, changes=drawn)
    first, *further = drawn
    return replace(e, ablations=first.sites, method=first.becomes, positions=first.positions,
                   changes=further)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_several_changes_of_different_methods_equal_as_many_plain_hooks(
    kind: str, pair: Any
) -> None:
    directory, ref = pair(kind)
    moved = []

    @settings(max_examples=25)
    @given(st.data())
    def compare(data: st.DataObject) -> None:
        e = data.draw(experiments(directory, ref))
        ids = ids_of(directory, e.prompt)
        expected, clean = ref.each_logits([(ids, hooks(e, ref, len(ids))), (ids, ())])
        found = engine.activations(e, [])
        torch.testing.assert_close(torch.from_numpy(found.ablated_logits), expected, **CLOSE)
        ranked = engine.next_token(e)
        torch.testing.assert_close(
            torch.from_numpy(ranked.ablated.logits),
            expected[-1][ranked.ablated.ids.tolist()],
            **CLOSE,
        )
        torch.testing.assert_close(torch.from_numpy(found.clean_logits), clean, **CLOSE)
        moved.append(float((expected - clean).abs().max()))

    compare()
    assert sorted(moved)[len(moved) // 2] > 0.01, "the changes drawn move too little to judge"


@pytest.mark.parametrize("kind", KINDS)
def test_two_changes_of_one_layers_patterns_equal_two_hooks_that_leave_torch_as_it_was(
    kind: str, pair: Any
) -> None:
    directory, ref = pair(kind)
    e = engine.Experiment(
        directory, " ".join(WORDS[:N]), changes=["zero 0.0.pattern @1", "scale(0.4) 0.1.pattern"]
    )
    ids, own = ids_of(directory, e.prompt), (functional.softmax, torch.softmax)
    expected = ref.logits(ids, hooks(e, ref, len(ids)))
    assert (functional.softmax, torch.softmax) == own
    ablated = engine.activations(e, []).ablated_logits
    torch.testing.assert_close(torch.from_numpy(ablated), expected, **CLOSE)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
def test_generation_with_several_changes_equals_an_uncached_loop_of_hooks(
    kind: str, pair: Any
) -> None:
    directory, ref = pair(kind)
    d_vocab = engine.load(directory).shape.d_vocab

    @settings(max_examples=12)
    @given(st.data())
    def compare(data: st.DataObject) -> None:
        e = data.draw(experiments(directory, ref))
        ids = list(ids_of(directory, e.prompt))
        prefix = data.draw(st.lists(st.integers(3, 40), max_size=3))
        steps = list(engine.generate(e, 3, k=d_vocab, prefix=prefix))
        assert len(steps) == len(prefix) + 3
        for i, step in enumerate(steps):
            expected = ref.logits(ids, hooks(e, ref, len(ids)))[-1]
            run = some(step.ablated or step.clean)
            found = torch.from_numpy(run.top.logits[np.argsort(run.top.ids)])
            torch.testing.assert_close(found, expected, **CLOSE)
            ids.append(prefix[i] if i < len(prefix) else int(run.token_id))

    compare()


SAME_PLACE = ("1.2", "m1", "n2.7", "0.1.q", "1.3.k", "2.0.pattern", "r1", "r1.mid", "r3")


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("site", SAME_PLACE)
def test_at_one_place_changes_are_made_as_they_are_written(kind: str, site: str, pair: Any) -> None:
    directory, ref = pair(kind)
    e = engine.Experiment(directory, "t1 t5 t9 t2", corrupted="t3 t8 t8 t1")
    found = []
    for order in ((f"resample {site}", f"scale(-3) {site} @0-2"),
                  (f"scale(-3) {site} @0-2", f"resample {site}")):  # fmt: skip
        one = replace(e, changes=order)
        ids = ids_of(directory, e.prompt)
        found.append(torch.from_numpy(engine.activations(one, []).ablated_logits))
        if not site.endswith(("pattern", "mid")):  # which the reference changes only once
            expected = ref.logits(ids, hooks(one, ref, len(ids)))
            torch.testing.assert_close(found[-1], expected, **CLOSE)
    last = engine.activations(replace(e, changes=f"resample {site}"), []).ablated_logits
    torch.testing.assert_close(found[1], torch.from_numpy(last), **CLOSE)
    assert (found[0] - found[1]).abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_at_different_places_the_order_does_not_matter(kind: str, pair: Any) -> None:
    directory, ref = pair(kind)

    @settings(max_examples=25)
    @given(st.data())
    def compare(data: st.DataObject) -> None:
        e = data.draw(experiments(directory, ref))
        each = [{p for p in places(c.sites, ref)} for c in e.every_change]
        shared = any(a & b for a, b in itertools.combinations(each, 2))
        turned = replace(e, ablations="", changes=e.every_change[::-1])
        one, other = (engine.activations(x, []).ablated_logits for x in (e, turned))
        if shared:
            return
        np.testing.assert_allclose(one, other, **CLOSE)

    compare()


SPLIT = ("0.1 1.2 m2 2.0.v", ["zero 0.1", "zero m2 1.2", "zero 2.0.v"])


@pytest.fixture(scope="module")
def twice(pair: Any) -> tuple[engine.Experiment, engine.Experiment]:
    """One change as the short form, and the same written as several."""
    directory, _ = pair("llama")
    e = engine.Experiment(directory, "t1 t5 t9 t2", "t3 t8 t8 t1", answer="t3", distractor="t4")
    return replace(e, ablations=SPLIT[0]), replace(e, changes=SPLIT[1])


def parts_of(value: object) -> list[np.ndarray]:
    """Every array and number of a result, in order."""
    match value:
        case np.ndarray() | float() | int():
            return [np.asarray(value)]
        case dict():
            return [one for key in sorted(value, key=str) for one in parts_of(value[key])]
        case tuple() | list():
            return [one for each in value for one in parts_of(each)]
    fields = getattr(value, "__dataclass_fields__", ())
    return [one for name in fields for one in parts_of(getattr(value, name))]


PAIRS = (
    engine.Pair("t1 t5 t9 t2", "t3 t8 t8 t1", "t3", "t4"),
    engine.Pair("t6 t5 t2 t2 t9", "t3 t8 t7 t1 t1", "t5", "t2"),
)
QUESTIONS: dict[str, Callable[[engine.Experiment], Any]] = {
    "next_token": engine.next_token,
    "logit_lens": engine.logit_lens,
    "attention": lambda e: engine.attention(e),
    "attention_overview": lambda e: engine.attention_overview(e, size=4),
    "activations": lambda e: engine.activations(e, ["z", "resid_post"]),
    "generate": lambda e: list(engine.generate(e, 4)),
    "generate_many": lambda e: engine.generate_many(e, ["t1 t2", "t4 t5 t6"], 3).result().rows,
    "rank_answers": lambda e: engine.rank_answers(e, ["t3", "t4 t5", "t9"]),
    "score_task": lambda e: engine.score_task(e.model, engine.Task("own", PAIRS), e),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_is_answered_alike_however_a_change_is_written(
    question: str, twice: tuple[engine.Experiment, engine.Experiment]
) -> None:
    short, several = (parts_of(QUESTIONS[question](e)) for e in twice)
    clean = parts_of(QUESTIONS[question](twice[0].clean))
    assert len(short) == len(several) > 0
    for one, other in zip(short, several, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=1e-5)
    differ = [a.shape != b.shape or not np.allclose(a, b) for a, b in zip(short, clean)]  # noqa: B905
    assert any(differ) or len(short) != len(clean)


@pytest.mark.parametrize("method", ["zero", "scale(0.3)", "mean", "resample"])
def test_a_sweep_gives_what_next_token_does_with_that_site_among_the_ablations(
    method: str, pair: Any
) -> None:
    directory, _ = pair("llama")
    e = engine.Experiment(
        directory, "t1 t5 t9 t2", "t3 t8 t8 t1", "t3", "t4", ablations="0.1 m0", method=method,
        changes=["set(0.4) 1.2 m1", "resample 2.3 @1", "scale(2) r1.mid", "scale(3) 1.0-3.q"],
    )  # fmt: skip
    for pairs in (None, PAIRS):
        found = engine.sweep(e, pairs)
        each = [e] if pairs is None else [
            replace(e, prompt=p.prompt, corrupted=p.corrupted, answer=p.answer,
                    distractor=p.distractor, references=tuple(q.corrupted for q in PAIRS))
            for p in pairs
        ]  # fmt: skip
        for i, one in enumerate(each):
            base = engine.next_token(one)
            assert base.ablated_logit_diff == pytest.approx(found.given_numbers[0, i], abs=1e-4)
            for site in ("0.1", "1.2", "1.0", "2.3", "m1", "m2"):
                more = engine.ablations(f"{one.ablations} {site}")
                told = engine.next_token(replace(one, ablations=more)).ablated_logit_diff
                (at,) = engine.parse_sites(site)
                match at:
                    case engine.MLP(layer):
                        ours = found.mlp_numbers[0, i, layer]
                    case engine.Head(layer, head):
                        ours = found.head_numbers[0, i, layer, head]
                assert told == pytest.approx(ours, abs=1e-4), (site, i)


def test_steps_of_generation_switch_the_ablations_and_leave_the_other_changes(pair: Any) -> None:
    directory, ref = pair("llama")
    e = engine.Experiment(directory, "t1 t5 t9 t2", ablations="0.1", changes=["set(0.5) m1"])
    ids = list(ids_of(directory, e.prompt))
    n = len(ids)
    for step, told in enumerate(engine.generate(e, 4, k=60, switches={2: "2.3"})):
        made = []
        for name, layer, index, where, value in (
            ("z", 0, (1,), range(min(len(ids), n + 1)), 0.0),
            ("z", 2, (3,), range(n + 1, len(ids)), 0.0),
            ("mlp_out", 1, None, range(len(ids)), 0.5),
        ):
            become = functools.partial(torch.full_like, fill_value=value)
            if where:
                made.append(Change(name, layer, index, tuple(where), become))
        expected = ref.logits(ids, made)[-1]
        run = some(told.ablated)
        for token, logit in zip(run.top.ids[:5], run.top.logits[:5], strict=True):
            assert float(expected[token]) == pytest.approx(float(logit), abs=2e-4), step
        ids.append(int(run.token_id))


def test_path_patching_changes_nothing_but_what_it_patches(pair: Any) -> None:
    directory, _ = pair("llama")
    e = engine.Experiment(directory, "t1 t5 t9 t2", "t3 t8 t8 t1", "t3", "t4", method="resample")
    other = replace(e, ablations="0.1", changes=["set(3) m1", "zero 2.1"])
    one, two = (engine.path_patch(x, "0.1 1.2 m0") for x in (e, other))
    np.testing.assert_array_equal(one.logit_diff, two.logit_diff)
    np.testing.assert_array_equal(one.clean, two.clean)


def test_references_are_read_once_for_a_question(
    pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, _ = pair("llama")
    read: list[str] = []
    tokenizer = engine.load(directory).tokenizer
    encode = type(tokenizer).encode

    def counted(self: Any, text: Any, *more: Any) -> Any:
        read.append(text)
        return encode(self, text, *more)

    monkeypatch.setattr(type(tokenizer), "encode", counted)
    references = [f"t{random.Random(i).randrange(50)} t7 t{i}" for i in range(5)]
    e = engine.Experiment(directory, "t1 t5 t9", ablations="0.1", method="mean",
                          references=references, changes=["mean m2 @0"])  # fmt: skip
    engine.next_token(e)
    assert [read.count(text) for text in references] == [1] * 5


def test_notes_hold_for_every_change(pair: Any) -> None:
    directory, _ = pair("llama")
    e = engine.Experiment(directory, "t1 t5 t9", "t3 t8 t8", references=["t1 t2"],
                          changes=["mean 0.1", "resample 1.1", "zero m2 @generated"])  # fmt: skip
    told = engine.next_token(e)
    notes = " ".join(told.notes)
    assert "mean over 1 reference prompt" in notes and "resample over 1 reference prompt" in notes
    assert "“zero m2 @generated” changes nothing in the prompt itself" in notes
    assert told.ablated_sites == 3
    longer = " ".join(engine.next_token(replace(e, answer="t3 t4")).notes)
    assert "resample has values for the prompt's tokens only" in longer
    assert "mean has values" not in longer and "generated” changes nothing" not in longer
    idle = replace(e, changes=["resample 1.1 @generated", "zero 0.1"])
    assert "Resample at positions “generated” has nowhere" in engine.generate(idle, 2).notes[-1]
    none = replace(e, changes=["resample 1.1 @generated"])
    assert "Nothing is changed" in engine.generate(none, 2).notes[-1]


def test_what_a_model_does_not_have_is_told_of_every_change(pair: Any) -> None:
    directory, _ = pair("llama")
    e = engine.Experiment(directory, "t1 t5", ablations="0.1")
    for wrong in ("zero 9.1", "zero 0.1 @7", "mean 0.1", "resample m1", "mean 0.1.pattern"):
        for ask in (engine.next_token, engine.attention, lambda e: list(engine.generate(e, 1))):
            with pytest.raises(engine.EngineError):
                ask(replace(e, changes=[wrong]))
