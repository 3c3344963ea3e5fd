"""Directions, made and used, equal plain hooks on the Hugging Face model.

The reference takes what passes at a place in clean runs, makes the vector in numpy, and adds it to
what passes, or takes its component out, without a line of the engine.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import engine
from engine.passes import points
from engine.passes.hooks import Edit, apply
from tests.support.family_reference import Change, FamilyReference, acts_at
from tests.support.reference import always
from tests.support.some import some
from tests.support.tiny_models import HEADS, LAYERS, WORDS, Tiny

KINDS = ("gpt2", "gptj", "llama", "gemma2", "olmo2", "phi3", "granite")
CLOSE: dict[str, Any] = {"atol": 2e-4, "rtol": 1e-4}
N = 4

layers, heads = st.integers(0, LAYERS - 1), st.integers(0, HEADS - 1)
streams = st.one_of(st.builds(engine.Stream, layers, st.booleans()), st.just(engine.Stream(LAYERS)))
along = st.one_of(streams, st.builds(engine.MLP, layers))
positions = st.one_of(
    st.sampled_from(["all", "prompt", "generated"]),
    st.lists(st.integers(-3, 3), min_size=1, max_size=3),
).map(engine.Positions.parse)
texts = st.lists(st.sampled_from(WORDS), min_size=N, max_size=N).map(" ".join)
prompts = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join),
                   min_size=2, max_size=2)  # fmt: skip


def place(site: Any) -> tuple[str, int]:
    match site:
        case engine.MLP(layer):
            return ("mlp_out", layer)
        case engine.Stream(layer, mid):
            last = layer == LAYERS
            return ("resid_post" if last else "resid_mid" if mid else "resid_pre", layer - last)
    return ("z", site.layer)


def vector(e: engine.Experiment, ref: FamilyReference, name: str) -> Tensor:
    """A direction of prompts, worked out by itself."""
    direction = next(one for one in e.vectors if one.name == name)
    made, at = direction.made, place(direction.site)
    assert isinstance(made, engine.FromPrompts)

    def read(text: str) -> np.ndarray:
        tokens = engine.tokenize(e.model, text)
        seen = ref.values(tokens.ids, [at])[at].double().numpy()
        return seen[-1] if made.read == "last" else seen[1 if tokens.bos else 0 :].mean(0)

    plus, minus = (np.stack(list(map(read, side))) for side in (made.plus, made.minus))
    difference = plus.mean(0) - minus.mean(0)
    if made.by == "pca":
        axis = np.linalg.svd(plus - minus)[2][0]
        difference = (axis @ difference) * axis
    return torch.from_numpy(difference)


def hooks(e: engine.Experiment, ref: FamilyReference, n: int) -> list[Change]:
    n_prompt = len(engine.tokenize(e.model, e.prompt))
    found = []
    for change in e.every_change:
        method = change.becomes
        where = acts_at(change.positions, n_prompt, n)
        if not where:
            continue
        for site in change.sites.sites:
            index = (site.head,) if isinstance(site, engine.Head) else None
            if method.vector is None:
                become: Any = torch.zeros_like
            else:
                v = vector(e, ref, method.vector)
                if method.kind is engine.Kind.ADD:
                    become = functools.partial(added, v, some(method.number))
                else:
                    become = functools.partial(projected, v / v.norm())
            found.append(Change(*place(site), index, where, become))
    return found


def added(v: Tensor, c: float, old: Tensor) -> Tensor:
    return (old.double() + c * v).to(old.dtype)


def projected(axis: Tensor, old: Tensor) -> Tensor:
    return (old.double() - (old.double() @ axis)[:, None] * axis).to(old.dtype)


def possible(sites: Sequence[Any], ref: FamilyReference) -> bool:
    return all(ref.has(*place(site)) for site in sites)


@st.composite
def experiments(draw: st.DrawFn, directory: str, ref: FamilyReference) -> Any:
    """Two directions, and two or three changes, one of which may silence heads."""
    here = along.filter(lambda site: possible([site], ref))
    made = st.builds(engine.FromPrompts, prompts, prompts, st.sampled_from(["mean", "pca"]),
                     st.sampled_from(["last", "mean"]))  # fmt: skip
    vectors = [engine.Direction(name, draw(here), draw(made)) for name in ("one", "other")]
    methods = st.one_of(
        st.builds(engine.Method, st.just(engine.Kind.ADD), st.sampled_from([-2.0, 0.5, 3.0]),
                  st.sampled_from(["one", "other"])),
        st.builds(engine.Method, st.just(engine.Kind.PROJECT), st.none(),
                  st.sampled_from(["one", "other"])),
    )  # fmt: skip
    some_sites = st.lists(here, min_size=1, max_size=2, unique=True).map(
        lambda sites: engine.Ablations(tuple(sites))
    )
    zero = st.builds(engine.Head, layers, heads).map(lambda head: engine.Change(head))
    steered = st.builds(engine.Change, some_sites, methods, positions)
    drawn = [draw(steered), draw(st.one_of(steered, zero)), draw(steered)]
    return engine.Experiment(directory, draw(texts), changes=drawn, vectors=vectors)


@pytest.mark.parametrize("kind", KINDS)
def test_changes_along_directions_equal_plain_hooks_in_order(kind: str, pair: Any) -> None:
    directory, ref = pair(kind)
    moved = []

    @settings(max_examples=20)
    @given(st.data())
    def compare(data: st.DataObject) -> None:
        e = data.draw(experiments(directory, ref))
        ids = engine.tokenize(directory, e.prompt).ids
        expected, clean = ref.each_logits([(ids, hooks(e, ref, len(ids))), (ids, ())])
        found = engine.activations(e, [])
        far = (torch.from_numpy(found.ablated_logits) - expected).abs().max()
        if far > 1e-4:  # a pass in which the last digits become the first
            assert far <= 4 * ref.trusted(ids, hooks(e, ref, len(ids)))
        torch.testing.assert_close(torch.from_numpy(found.clean_logits), clean, **CLOSE)
        moved.append(float((expected - clean).abs().max()))

    compare()
    assert sorted(moved)[len(moved) // 2] > 0.01, "the changes drawn move too little to judge"


@pytest.mark.parametrize("kind", KINDS)
def test_a_direction_equals_the_reference_and_a_head_what_it_writes_alone(
    kind: str, pair: Any
) -> None:
    directory, ref = pair(kind)
    for by in ("mean", "pca"):
        for read in ("last", "mean"):
            for site in ("r1", "r3", "m1"):
                made = engine.FromPrompts(["t1 t2", "t9"], ["t4 t5 t6", "t7 t8"], by, read)
                e = engine.Experiment(directory, vectors=[engine.Direction("v", site, made)])
                found = engine.direction(e, "v")
                np.testing.assert_allclose(found.values, vector(e, ref, "v"), atol=1e-5)
                every = [
                    ref.values(tokens.ids, [place(e.vectors[0].site)])[place(e.vectors[0].site)][
                        int(tokens.bos) :
                    ].norm(dim=-1)
                    for tokens in (engine.tokenize(directory, text) for text in made.texts)
                ]
                assert abs(found.stream_norm - float(torch.cat(every).median())) < 1e-4
    token = engine.tokenize(directory, "t9").ids[-1]
    begins = engine.tokenize(directory, "").ids
    for head in ("0.1", "2.3"):
        layer, h = map(int, head.split("."))
        stream = ref.values((*begins, token), [("resid_pre", min(layer, 1))])
        x = stream["resid_pre", min(layer, 1)][-1:]
        silent = Change(
            "z", layer, tuple(i for i in range(HEADS) if i != h), (0,), torch.zeros_like
        )
        enters = Change("resid_pre", layer, None, (0,), always(x))
        out: list[Tensor] = []

        def look(old: Tensor, out: list[Tensor] = out) -> Tensor:
            out.append(old.clone())
            return old

        seen = Change("attn_out", layer, None, (0,), look)
        ref.logits((token,), [enters, silent, seen])
        ref.logits((token,), [enters, replace(silent, index=tuple(range(HEADS))), seen])
        found = engine.direction(
            directory, engine.Direction("v", "r1", engine.FromHead(head, "t9"))
        )
        np.testing.assert_allclose(found.values, (out[0] - out[1])[0], atol=1e-5)
        assert found.norm > 1e-3


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen3"])
def test_a_heads_direction_is_values_and_w_o_and_an_unembeddings_is_w_u(
    kind: str, tiny: Tiny
) -> None:
    directory = str(tiny(kind))
    read = functools.partial(engine.weight, directory)
    token, other = (engine.tokenize(directory, word).ids[-1] for word in ("t9", "t4"))
    e = engine.Experiment(directory, "t9")
    x = engine.activations(e, [("resid_pre", 1)]).clean["resid_pre", 1][-1]
    x = x - x.mean() if kind == "gpt2" else x
    normed = x / np.sqrt((x**2).mean() + 1e-6) * read("blocks.2.ln1.w")
    if kind == "gpt2":
        normed = normed + read("blocks.2.ln1.b")
    w_v = read("blocks.2.attn.W_V", per_query_head=True)[3]
    b_v = read("blocks.2.attn.b_V", per_query_head=True)[3]
    expected = (normed @ w_v + b_v) @ read("blocks.2.attn.W_O")[3]
    found = engine.direction(e, engine.Direction("h", "r3", engine.FromHead("2.3", "t9")))
    np.testing.assert_allclose(found.values, expected, atol=1e-4)
    w_u = read("W_U")
    for minus, wanted in (("", w_u[:, token]), ("t4", w_u[:, token] - w_u[:, other])):
        one = engine.Direction("u", "r3", engine.FromUnembedding("t9", minus))
        np.testing.assert_array_equal(engine.direction(e, one).values, wanted)


SAME = engine.FromPrompts(["t1 t2"], ["t1 t2"])
OTHER = engine.FromPrompts(["t1 t2"], ["t4 t5"])
VECTORS = (engine.Direction("nothing", "r1", SAME), engine.Direction("v", "r1", OTHER))
NOTHING = "add(v, 0) r1\nadd(v, 0) m2 @1\nadd(nothing, 1e6) r2.mid\nproject(nothing) r0 r3 m1"


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2", "olmo2"])
def test_nothing_added_and_nothing_taken_out_is_the_clean_run(kind: str, pair: Any) -> None:
    directory, ref = pair(kind)
    changes = [c for c in engine.changes(NOTHING) if possible(c.sites.sites, ref)]
    e = engine.Experiment(directory, "t1 t5 t9 t2", changes=changes, vectors=VECTORS)
    found = engine.activations(e, [])
    np.testing.assert_allclose(found.ablated_logits, found.clean_logits, atol=1e-5)
    for step in engine.generate(e, 4):
        run = some(step.ablated or step.clean)
        np.testing.assert_allclose(run.top.logits, some(step.clean).top.logits, atol=1e-5)


def test_after_project_nothing_is_left_along_the_direction_and_twice_is_once(pair: Any) -> None:
    directory, _ = pair("llama")
    e = engine.Experiment(directory, "t1 t5 t9 t2", changes="project(v) r2", vectors=VECTORS)
    axis = engine.direction(e, "v").values
    axis = axis / np.linalg.norm(axis)
    found = engine.activations(e, [("resid_pre", 2)])
    assert abs(found.clean["resid_pre", 2] @ axis).max() > 0.01
    assert abs(found.ablated["resid_pre", 2] @ axis).max() < 1e-5
    twice = engine.activations(replace(e, changes="project(v) r2\nproject(v) r2"), [])
    np.testing.assert_allclose(twice.ablated_logits, found.ablated_logits, atol=1e-5)
    there = engine.activations(replace(e, changes="add(v, 3) r2\nadd(v, -3) r2"), [])
    np.testing.assert_allclose(there.ablated_logits, found.clean_logits, atol=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
def test_steered_generation_equals_an_uncached_loop_of_hooks_token_for_token(
    kind: str, pair: Any
) -> None:
    directory, ref = pair(kind)

    @settings(max_examples=10)
    @given(st.data())
    def compare(data: st.DataObject) -> None:
        e = data.draw(experiments(directory, ref))
        ids = list(engine.tokenize(directory, e.prompt).ids)
        for step in engine.generate(e, 5, k=8):
            expected = ref.logits(ids, hooks(e, ref, len(ids)))[-1]
            run = some(step.ablated or step.clean)
            near = torch.from_numpy(run.top.logits) - expected[run.top.ids.tolist()]
            if near.abs().max() > 1e-4:
                assert near.abs().max() <= 4 * ref.trusted(ids, hooks(e, ref, len(ids)))
            assert expected[run.token_id] >= expected.max() - 1e-3
            ids.append(int(run.token_id))

    compare()


def test_where_the_trial_of_directions_fails_they_are_refused_and_nothing_else(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:

    def halved(edits: Sequence[tuple[int, Edit]], activation: Tensor, passed: Any = None) -> Tensor:
        some = [(i, replace(one, value=one.value / 2) if one.adds else one) for i, one in edits]
        return apply(some, activation, passed)

    monkeypatch.setattr(points, "apply", halved)
    directory = str(tiny("gpt2", vocab_size=70, eos_token_id=None))
    (check,) = (c for c in engine.certificate(directory).checks if c.name == "along directions")
    assert not check.holds and check.figure > 100 * check.limit
    e = engine.Experiment(
        directory, "t1 t2", vectors=[engine.Direction("v", "r1", engine.FromUnembedding("t3"))]
    )
    with pytest.raises(engine.EngineError, match="was tried when it was loaded"):
        engine.next_token(replace(e, changes="add(v, 1) r1"))
    assert engine.next_token(replace(e, changes="zero r1")).ablated.texts
    engine.release(directory)
