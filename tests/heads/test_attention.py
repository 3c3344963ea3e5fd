"""Attention patterns are the model's own, and their scores what their sentences say."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

import engine
from engine.heads import attention as module
from engine.heads.thumbnails import pooled, shaded
from tests.conftest import real
from tests.support.reference import Change, Reference
from tests.support.tiny_models import CONFIGS, HEADS, LAYERS, Tiny

PROMPT = "t1 t5 t9 t2 t7 t5 t9"
SITES = "0.1 1.2 m0"
NAN = float("nan")


def experiment(kind: str, tiny: Tiny, **fields: Any) -> engine.Experiment:
    # Qwen 2 reads the tiny tokenizer's words as nothing but its special tokens.
    prompt = "<pad><s></s><pad><pad><s>" if kind == "qwen2" else PROMPT
    e = engine.Experiment(str(tiny(kind)), prompt, **fields)
    assert len(engine.tokenize(e.model, e.prompt)) > 5
    return e


def their_patterns(ref: Reference, ids: Any, changes: Any = ()) -> np.ndarray:
    """[layer head_index query_pos key_pos] of the Hugging Face model, eager."""
    with torch.no_grad(), ref.changed([changes]):
        out = ref.hf(input_ids=torch.tensor([ids]), output_attentions=True, use_cache=False)
    return torch.cat(out.attentions).numpy()


def close(a: Any, b: Any, atol: Any = 1e-5) -> None:
    np.testing.assert_allclose(a, b, atol=atol, rtol=0)


@pytest.mark.parametrize("kind", CONFIGS)
def test_patterns_equal_the_hugging_face_models_own_clean_and_ablated(
    kind: str, tiny: Tiny
) -> None:
    e = experiment(kind, tiny, ablations=SITES)
    found, ref = engine.attention(e), Reference(e.model)
    ids = found.tokens.ids
    close(found.clean.pattern, their_patterns(ref, ids))
    everywhere = tuple(range(len(ids)))
    off = [("head", 0, 1), ("head", 1, 2), ("mlp", 0, 0)]
    changes = [Change(*site, everywhere, torch.zeros_like) for site in off]
    theirs = their_patterns(ref, ids, changes)
    close(found.ablated.pattern, theirs)
    assert np.abs(theirs - found.clean.pattern).max() > 1e-3


@pytest.mark.parametrize("kind", CONFIGS)
def test_patterns_are_causal_and_their_rows_sum_to_1(kind: str, tiny: Tiny) -> None:
    found = engine.attention(experiment(kind, tiny, ablations=SITES))
    for run in (found.clean, found.ablated):
        n = len(found.tokens)
        assert run.pattern.shape == (LAYERS, HEADS, n, n) and run.pattern.min() >= 0
        assert (np.triu(run.pattern, 1) == 0).all()
        close(run.pattern.sum(-1), 1)


@pytest.mark.parametrize("kind", CONFIGS)
def test_patterns_times_values_are_what_the_heads_give(kind: str, tiny: Tiny) -> None:
    """Which values a query head attends to, where several share them: z = pattern · v."""
    e = experiment(kind, tiny)
    found = engine.attention(e)
    seen = engine.activations(e, [("v", 1), ("z", 1)])
    v = seen.clean["v", 1].repeat(HEADS // seen.clean["v", 1].shape[1], axis=1)  # [pos head d_head]
    close(np.einsum("hqk,khd->qhd", found.clean.pattern[1], v), seen.clean["z", 1])
    close(found.clean.value_norm[1], np.linalg.norm(v, axis=-1).T)
    close(
        found.clean.value_weighted[1],
        np.linalg.norm(np.einsum("hqk,khd->hqkd", found.clean.pattern[1], v), axis=-1),
    )


def test_patterns_are_the_published_ones() -> None:
    stored = json.loads((real("gpt-nano-sort") / "published_activations.json").read_text())
    theirs, ids = (
        np.frombuffer(base64.b64decode(stored[name]["data"]), "<f4").reshape(stored[name]["shape"])
        for name in ("attSm", "idx")
    )
    for i, row in enumerate(ids.astype(int)):
        e = engine.Experiment(str(real("gpt-nano-sort")), "".join("ABC"[t] for t in row))
        close(engine.attention(e, [engine.Head(0, h) for h in range(3)]).clean.pattern, theirs[i])


@pytest.mark.parametrize("kind", ["gpt2", "gemma2"])
def test_without_ablations_the_runs_are_one(kind: str, tiny: Tiny) -> None:
    e = experiment(kind, tiny)
    found, seen = engine.attention(e), engine.attention_overview(e)
    assert (found.clean.pattern == found.ablated.pattern).all()
    assert seen.difference.most == 0 and not seen.difference.shade.any()
    changed = engine.attention_overview(replace(e, ablations=engine.ablations("0.1")))
    assert changed.difference.most > 0 and not changed.difference.shade[0].any()


@pytest.mark.parametrize("group_bytes", [1, 2**27])
def test_chosen_heads_and_groups_of_layers_give_the_same_patterns(
    group_bytes: int, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GROUP_BYTES", group_bytes)
    e = experiment("llama", tiny, ablations=SITES)
    every = engine.attention(e)
    chosen = [engine.Head(2, 3), engine.Head(0, 0), engine.Head(2, 1), engine.Head(0, 0)]
    found = engine.attention(e, chosen)
    assert found.heads == tuple(chosen[:3]) and len(every.heads) == LAYERS * HEADS
    for one, all_ in ((found.clean, every.clean), (found.ablated, every.ablated)):
        for i, head in enumerate(found.heads):
            close(one.pattern[i], all_.pattern[head.layer, head.head], 1e-6)
            close(one.value_norm[i], all_.value_norm[head.layer, head.head], 1e-5)
            close(one.scores.entropy[i], all_.scores.entropy[head.layer, head.head], 1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_overview_is_every_pattern_made_small(weighted: bool, tiny: Tiny) -> None:
    e = experiment("llama", tiny, ablations=SITES)
    whole, small = engine.attention(e), engine.attention_overview(e, size=3, weighted=weighted)
    runs = [r.value_weighted if weighted else r.pattern for r in (whole.clean, whole.ablated)]
    n = len(whole.tokens)
    edges = [i * n // 3 for i in range(3)] + [n]
    for shown, pattern in zip(
        (small.clean, small.ablated, small.difference), (*runs, runs[1] - runs[0]), strict=True
    ):
        for row in range(3):
            for col in range(3):
                block = pattern[..., edges[row] : edges[row + 1], edges[col] : edges[col + 1]]
                most = np.abs(block).max((-1, -2))
                close(np.abs(shown.shade[..., row, col]) * shown.most / 127, most, shown.most / 200)
    assert small.clean.most == small.ablated.most == (max(r.max() for r in runs) if weighted else 1)
    close(small.ablated_scores.induction, whole.ablated.scores.induction)


def test_pooling_keeps_what_is_furthest_from_0() -> None:
    pattern = np.zeros((1, 5, 5), np.float32)
    pattern[0, 4, 0], pattern[0, 4, 1], pattern[0, 2, 2] = 0.25, -0.5, 1
    small = pooled(pattern, 2)  # blocks of rows and columns 0-1 and 2-4
    assert small.tolist() == [[[0, 0], [-0.5, 1]]]
    assert shaded([small]).shade.tolist() == [[[[0, 0], [-64, 127]]]]
    assert shaded([0 * small]).most == 0


# A B A A, scored by hand. Queries 1 to 3; query 0 sees only itself.
#   A  1
#   B  1/2  1/2
#   A  1/4  1/2  1/4          earlier A: key 0; after it: key 1
#   A  1/8  1/4  1/8  1/2     earlier A: keys 0, 2; after them: keys 1 and (itself) 3
WORKED = np.array(
    [[1, 0, 0, 0], [1 / 2, 1 / 2, 0, 0], [1 / 4, 1 / 2, 1 / 4, 0], [1 / 8, 1 / 4, 1 / 8, 1 / 2]],
    np.float32,
)
HALF, QUARTER, EIGHTH = (np.log(x) / x for x in (2, 4, 8))  # −p ln p of 1/2, 1/4, 1/8


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("previous_token", Fraction(1, 3) * (Fraction(1, 2) + Fraction(1, 2) + Fraction(1, 8))),
        ("first_token", Fraction(1, 3) * (Fraction(1, 2) + Fraction(1, 4) + Fraction(1, 8))),
        ("same_token", Fraction(1, 3) * (Fraction(1, 2) + Fraction(1, 4) + Fraction(1, 2))),
        ("duplicate_token", Fraction(1, 2) * (Fraction(1, 4) + Fraction(1, 8) + Fraction(1, 8))),
        ("induction", Fraction(1, 2) * (Fraction(1, 2) + Fraction(1, 4))),
        ("entropy", (2 * HALF + (2 * QUARTER + HALF) + (2 * EIGHTH + QUARTER + HALF)) / 3),
    ],
)
def test_scores_of_a_pattern_worked_out_by_hand(name: str, value: Any) -> None:
    found = engine.head_scores(WORKED, [7, 8, 7, 7])
    close(getattr(found, name), float(value), 1e-6)
    assert name in engine.SCORES and set(engine.SCORES) == set(vars(found))


def test_a_head_that_does_one_thing_scores_1_for_it() -> None:
    ids = [5, 6, 7, 5, 6, 7]
    previous, first, same = np.eye(6, k=-1), np.zeros((6, 6)), np.eye(6)
    first[:, 0] = previous[0, 0] = 1
    duplicate, induction = np.eye(6), np.eye(6)
    for q in (3, 4, 5):
        duplicate[q] = np.eye(6)[q - 3]
        induction[q] = np.eye(6)[q - 2]
    heads = np.stack([previous, first, same, duplicate, induction]).astype(np.float32)
    found = engine.head_scores(heads, ids)
    names = ("previous_token", "first_token", "same_token", "duplicate_token", "induction")
    for i, name in enumerate(names):
        assert getattr(found, name)[i] == 1, name
    assert (found.entropy == 0).all()


def test_a_score_that_a_prompt_cannot_give_is_not_a_number() -> None:
    alone = engine.head_scores(np.ones((2, 1, 1), np.float32), [3])
    for name in engine.SCORES:
        assert np.isnan(getattr(alone, name)).all() and getattr(alone, name).shape == (2,)
    plain = engine.head_scores(np.eye(3, dtype=np.float32), [1, 2, 3])
    assert np.isnan(plain.duplicate_token) and np.isnan(plain.induction)
    assert plain.previous_token == 0 and plain.same_token == 1
    twice = engine.head_scores(np.eye(2, dtype=np.float32), [1, 1])  # what follows is itself
    assert np.isnan(twice.induction) and twice.duplicate_token == 0


def test_entropy_of_even_attention_is_the_logarithm_of_how_many() -> None:
    even = np.tril(np.ones((4, 4), np.float32)) / np.arange(1, 5, dtype=np.float32)[:, None]
    close(engine.head_scores(even, [1, 2, 3, 4]).entropy, np.log([2, 3, 4]).mean(), 1e-6)


def test_a_heads_role_is_where_half_of_its_attention_rests() -> None:
    def layers(*numbers: float) -> np.ndarray:
        return np.array(numbers).reshape(2, 3)

    none = layers(*[NAN] * 6)
    scores = engine.HeadScores(
        previous_token=layers(0.49, 0.5, 0.9, NAN, NAN, NAN),
        first_token=layers(0, 0, 0.9, NAN, NAN, NAN),
        same_token=layers(0, 0.2, 0.1, NAN, NAN, NAN),
        duplicate_token=none,
        induction=none,
        entropy=layers(2, 2, 2, NAN, NAN, NAN),
    )
    roles = engine.head_roles(scores)
    assert list(roles) == [name for name in engine.SCORES if name != "entropy"]
    assert roles["previous_token"] == (engine.Head(0, 2), engine.Head(0, 1))
    assert roles["first_token"] == (engine.Head(0, 2),)
    assert roles["same_token"] == roles["duplicate_token"] == roles["induction"] == ()
    some = engine.head_scores(WORKED[None], [7, 8, 7, 7])
    with pytest.raises(engine.EngineError, match="every head"):
        engine.head_roles(some)


def test_what_does_not_fit_is_said_with_the_numbers(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 4 * 2 * HEADS * 4**2)
    e = experiment("gpt2", tiny, ablations="0.3")
    for ask in (engine.attention, engine.attention_overview):
        with pytest.raises(engine.EngineError, match=r"of 8 tokens take .* at most \d+ tokens"):
            ask(e)
    for heads in ([engine.Head(9, 0)], [engine.Head(0, 9)], []):
        with pytest.raises(engine.EngineError):
            engine.attention(e, heads)
    with pytest.raises(engine.EngineError, match="pixels"):
        engine.attention_overview(e, size=0)


def test_a_single_token_has_a_pattern(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")), "", ablations="0.0")
    assert (engine.attention(e).clean.pattern == 1).all()
    assert (engine.attention_overview(e).clean.shade == 127).all()
