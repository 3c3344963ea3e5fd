"""Circuits of features: every number is plain hooks', and a planted circuit is found whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2LMHeadModel

import engine
from engine.features import readings
from engine.features.circuits import sizes_up_to
from tests.support import sae_folders as by_hand
from tests.support.axis_model import AXIS, WIDTH, turning_model
from tests.support.feature_reference import PAIRS, FeatureReference, N, only, without
from tests.support.tiny_models import VOCAB, Tiny

E = engine.Experiment("seq-gpt2", "1 2 3 4", "8 1 6 3", " 5", " 4")
SAE = engine.bundled_sae("seq-gpt2-r3")
TASK = engine.task("numerals", "seq-gpt2", n=3, seed=0)
GENERATED, EMPTY = replace(E, positions="generated"), replace(E, changes="zero r6")


@pytest.mark.parametrize(
    ("family", "kind"), [("gpt2", "standard"), ("llama", "topk"), ("gemma2", "gated")]
)
@settings(max_examples=4)
@given(
    others=st.sampled_from(["mean", "zero"]),
    error=st.sampled_from(["kept", "zero"]),
    by=st.sampled_from(["magnitude", "signed"]),
    uneven=st.booleans(),
)
def test_every_circuit_is_that_of_plain_hooks(
    tiny: Tiny,
    tmp_path_factory: pytest.TempPathFactory,
    family: str,
    kind: str,
    others: str,
    error: str,
    by: str,
    uneven: bool,
) -> None:
    one = FeatureReference(tiny(family), kind, tmp_path_factory.mktemp("sae"))
    pairs = (*PAIRS[:2], engine.Pair("t5 t30", "", " t8", " t3")) if uneven else PAIRS
    e = engine.Experiment(one.directory)
    curve = engine.feature_curve(
        e, one.sae, pairs, first="f2.3", by=by, others=others, error=error, controls=2, seed=5
    )
    read = [one.read(one.seen(pair.prompt))[0] for pair in pairs]
    mean = torch.cat(read).mean(0) if uneven else torch.stack(read).mean(0)
    become = mean if others == "mean" else torch.zeros(N)
    on = [i for i in range(N) if any((f[:, i] > 0).any() for f in read)]
    assert sorted(feature.index for feature in curve.order) == on
    assert curve.order[0].index == 3 or 3 not in on
    rng, n = np.random.default_rng(5), len(on)
    drawn = [[on[i] for i in rng.permutation(n)] for _ in range(2)]
    order = [feature.index for feature in curve.order]
    guessed = engine.rank_features(e, one.sae, pairs, exact=0).estimate
    rest = guessed[order[1:]] if by == "signed" else -np.abs(guessed[order[1:]])
    assert (np.diff(rest) >= -1e-9).all()
    keeps = error == "kept"
    for p, pair in enumerate(pairs):
        assert curve.whole[p] == pytest.approx(one.diff(pair.prompt), abs=1e-4)
        none = one.diff(pair.prompt, only([], become, keeps))
        assert curve.none[p] == pytest.approx(none, abs=1e-4)
        smallest = curve.smallest() or 1
        for i in {0, 3, curve.sizes.index(smallest), len(curve.sizes) - 1}:
            size = curve.sizes[i]
            kept = one.diff(pair.prompt, only(order[:size], become, keeps))
            left = [feature for feature in range(N) if feature not in order[:size]]
            removed = one.diff(pair.prompt, only(left, become, keeps))
            random = one.diff(pair.prompt, only(drawn[1][:size], become, keeps))
            assert curve.kept[i, p] == pytest.approx(kept, abs=1e-4)
            assert curve.removed[i, p] == pytest.approx(removed, abs=1e-4)
            if size in sizes_up_to(n):
                assert curve.random[1, i, p] == pytest.approx(random, abs=1e-4)
    whole, none = curve.whole.mean(), curve.none.mean()
    meant = (curve.kept.mean(1) - none) / (whole - none)
    np.testing.assert_allclose(curve.faithfulness, meant, rtol=1e-6)
    assert any("do not line up" in note for note in curve.notes) == (uneven and others == "mean")


def two_features(directory: Path) -> tuple[str, engine.Sae]:
    """A model that says t7 rather than t8 for every t1 and t3 it is shown, and an SAE of what
    enters the layer that reads them, with a feature for each token."""
    model = turning_model(directory / "model")
    hf: Any = GPT2LMHeadModel.from_pretrained(model)
    value = 2 * WIDTH + 2 * (WIDTH // 4)
    with torch.no_grad():
        wired = hf.transformer.h[1].attn.c_attn.weight
        wired[:, value] = 0
        wired[3 + 1, value], wired[3 + 3, value] = 1.0, 0.8
    hf.save_pretrained(model)
    token = torch.eye(VOCAB, WIDTH) - torch.eye(VOCAB, WIDTH).roll(VOCAB, 1)
    assert not (token @ AXIS).any()
    weights = {
        "W_enc": token.T.contiguous() / 2, "W_dec": token, "b_dec": torch.zeros(WIDTH),
        "b_enc": torch.full((VOCAB,), -0.01),
    }  # fmt: skip
    meta = {"hook_name": "blocks.1.hook_resid_pre"}
    return model, engine.read_sae(
        by_hand.write(directory / "s", "standard", weights, metadata=meta)
    )


def test_a_planted_pair_of_features_comes_first_and_keeps_the_answer_alone(tmp_path: Path) -> None:
    model, sae = two_features(tmp_path)
    pairs = [
        engine.Pair(text, "", " t7", " t8")
        for text in ("t1 t9 t3 t20", "t3 t1 t30 t21", "t40 t3 t1 t22", "t1 t3 t41 t23")
    ]
    # but the last, at which a token's own feature is what the final norm divides by
    e = engine.Experiment(model, positions="0-3")
    ranked = engine.rank_features(e, sae, pairs, exact=4, controls=4)
    planted = engine.parse_sites(f"f1.{3 + 1} f1.{3 + 3}")
    assert ranked.order[:2] == planted and ranked.band is not None
    assert ranked.effects[:2].max() < 20 * min(ranked.band[0], -1e-6)
    assert ranked.share[3 + 1] == 1 and ranked.at[0] == "1-3"
    assert abs(ranked.error.mean()) < 0.05 * abs(ranked.effects[0])
    curve = engine.feature_curve(e, sae, pairs, first=ranked.order, others="zero")
    assert curve.order[:2] == planted and curve.smallest() == 2
    assert curve.faithfulness[1:] == pytest.approx(1, abs=0.02)
    assert curve.completeness[1:] == pytest.approx(0, abs=0.02)
    assert 0.3 < curve.faithfulness[0] < 0.9 and (curve.smallest_random() or 99) > 4


def test_what_is_kept_alone_is_what_the_change_in_a_link_keeps() -> None:
    ranked = engine.rank_features(E, SAE, TASK.pairs, exact=5)
    curve = engine.feature_curve(E, SAE, TASK.pairs, ranked.order, others="zero", controls=1)
    assert curve.order[: len(ranked.order)] == ranked.order
    size = curve.sizes[14]
    kept = curve.features(size)
    change = engine.keep_features(SAE, kept)
    off = {*change.sites.sites}
    assert off == {SAE.feature(i) for i in range(engine.sae_shape(SAE).d_sae)} - {*kept}
    one = replace(E, changes=[change], saes=SAE)
    assert engine.Experiment.from_url(one.to_url()) == one and len(one.to_url()) < 1_000
    pair = TASK.pairs[1]
    told = engine.next_token(replace(one, prompt=pair.prompt, answer=pair.answer,
                                     distractor=pair.distractor))  # fmt: skip
    assert told.ablated_logit_diff == pytest.approx(curve.kept[14, 1], abs=1e-3)
    removed = engine.next_token(replace(
        E, prompt=pair.prompt, answer=pair.answer, distractor=pair.distractor, saes=SAE,
        changes=[engine.switch_off_features(SAE, kept)],
    ))  # fmt: skip
    assert removed.ablated_logit_diff == pytest.approx(curve.removed[14, 1], abs=1e-3)
    rows = curve.table()
    assert rows[-1]["faithfulness"] == pytest.approx(1, abs=1e-4) and curve.figure().data
    assert [row["size"] for row in rows] == list(curve.sizes) == sorted({*curve.sizes})


@pytest.mark.parametrize("uneven", [False, True])
def test_a_change_to_the_mean_over_the_pairs_does_what_the_curve_measured(uneven: bool) -> None:
    more = (engine.Pair("1 2 3", "", " 4", " 5"),) if uneven else ()
    pairs = (*TASK.pairs, *more)
    curve = engine.feature_curve(E, SAE, pairs, by="signed", controls=0)
    assert curve.becomes == engine.Method.parse("mean" if uneven else "mean_by_position")
    i = curve.sizes.index(curve.smallest() or 9)
    some = curve.features(curve.sizes[i])
    for make, values in (
        (engine.keep_features, curve.kept), (engine.switch_off_features, curve.removed),
    ):  # fmt: skip
        change = make(SAE, some, becomes=curve.becomes)
        for p in (0, len(pairs) - 1):
            e = replace(
                E, prompt=pairs[p].prompt, answer=pairs[p].answer, distractor=pairs[p].distractor,
                changes=[change], saes=SAE, references=[pair.prompt for pair in pairs],
            )  # fmt: skip
            assert engine.Experiment.from_url(e.to_url()) == e
            told = engine.next_token(e).ablated_logit_diff
            assert told == pytest.approx(values[i, p], abs=1e-3)
            at_0 = engine.next_token(replace(e, changes=[make(SAE, some)])).ablated_logit_diff
            assert at_0 is not None and abs(at_0 - values[i, p]) > 0.01


@pytest.mark.parametrize(
    ("more", "own", "said"),
    [
        ({"error": "zero"}, {}, "without the SAE's error"),
        ({}, {"changes": "zero 1.3"}, "other things are changed"),
        ({}, {"positions": "0-2"}, "only where all prompts are as long"),
        ({}, {"positions": "-1"}, "over the positions changed"),
    ],
)
def test_where_no_change_does_what_the_curve_measured_the_reason_is_said(
    more: dict[str, Any], own: dict[str, Any], said: str
) -> None:
    pairs = (*TASK.pairs[:2], engine.Pair("1 2 3", "", " 4", " 5"))
    curve = engine.feature_curve(replace(E, **own), SAE, pairs, controls=0, **more)
    assert curve.becomes is None and said in curve.why


def test_what_an_experiment_changes_at_the_same_place_comes_after_the_features() -> None:
    (pair,) = TASK.pairs[:1]
    own = engine.changes("scale(0.5) r3@-1")
    e = replace(E, prompt=pair.prompt, answer=pair.answer, distractor=pair.distractor, changes=own)
    curve = engine.feature_curve(e, SAE, (pair,), others="zero", controls=0)
    assert curve.becomes is None and "SAE's own place too" in curve.why
    i = curve.sizes.index(curve.smallest() or 9)
    features = engine.keep_features(SAE, curve.features(curve.sizes[i]))

    def difference(*changes: engine.Change) -> float:
        told = engine.next_token(replace(e, saes=SAE, changes=changes)).ablated_logit_diff
        assert told is not None
        return told

    assert difference(features, *own) == pytest.approx(curve.kept[i, 0], abs=1e-3)
    assert abs(difference(*own, features) - curve.kept[i, 0]) > 0.01
    elsewhere = replace(e, changes="scale(0.5) 3.1 m2 r2")
    assert engine.feature_curve(elsewhere, SAE, (pair,), others="zero", controls=0).becomes


def test_it_is_told_as_it_comes_and_goes_on_from_what_is_known() -> None:
    asked = engine.CutFeatures(E, SAE, TASK.pairs, controls=2)
    *_, last = engine.begin(asked)
    assert last.done and last.n_known == len(last.sizes)
    part = last.kept.copy()
    part[:4] += 100.0  # told from what is run anew
    part[4:] = np.nan
    known = replace(last, kept=part, removed=np.full_like(part, np.nan), progress=0.4)
    assert known.n_known == 0
    on = engine.begin(asked, so_far=known).result()
    assert (on.kept[:4] > 90).all()
    np.testing.assert_allclose(on.kept[4:-1], last.kept[4:-1], atol=1e-4)
    np.testing.assert_allclose(on.removed[:-1], last.removed[:-1], atol=1e-4)
    with pytest.raises(engine.EngineError, match="another curve"):
        engine.begin(replace(asked, seed=1), so_far=known).result()


def test_the_smallest_circuit_is_found_between_the_sizes_first_tried() -> None:
    curve = engine.feature_curve(E, SAE, TASK.pairs, others="zero", by="signed", controls=1)
    first = set(sizes_up_to(len(curve.order)))
    more = [size for size in curve.sizes if size not in first]
    smallest = curve.smallest()
    assert smallest is not None and more and min(more) > 12
    f = dict(zip(curve.sizes, curve.faithfulness, strict=True))
    assert f[smallest] >= 0.8 > f[smallest - 1] and np.isfinite(curve.completeness).all()
    drawn = dict(zip(curve.sizes, np.isfinite(curve.random[0]).all(-1), strict=True))
    assert {size for size, known in drawn.items() if not known} == {*more}
    rows = {row["size"]: row for row in curve.table()}
    assert rows[more[0]]["random"] == "" and rows[more[0]]["draws"] == 0 and curve.figure().data
    asked = engine.CutFeatures(E, SAE, TASK.pairs, (), "signed", "zero", controls=1)
    on = engine.begin(asked, so_far=replace(curve, progress=0.9)).result()
    assert on.sizes == curve.sizes
    np.testing.assert_array_equal(on.kept, curve.kept)


@pytest.mark.parametrize("changes", ["", "scale(0.5) f3.292 f3.3"])
def test_what_is_gone_on_with_takes_its_estimates_from_there(
    changes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    e = replace(E, changes=changes, saes=SAE)
    asked = engine.CutFeatures(e, SAE, TASK.pairs, controls=1)
    ranking = engine.RankFeatures(e, SAE, TASK.pairs, exact=3, controls=2)
    curve, ranked = engine.begin(asked).result(), engine.begin(ranking).result()
    part = replace(curve, kept=np.full_like(curve.kept, np.nan), progress=0.5)
    lost = replace(part, order=curve.order[1:])
    again = engine.begin(asked, so_far=lost).result()
    assert again.order == curve.order

    def refuse(*_: object) -> None:
        raise AssertionError("a gradient was taken")

    monkeypatch.setattr(readings, "differentiated", refuse)
    gone_on = engine.begin(asked, so_far=part).result()
    assert gone_on.order == curve.order and gone_on.done
    np.testing.assert_allclose(gone_on.kept, curve.kept, atol=1e-4)
    known = replace(ranked, measured=np.full_like(ranked.measured, np.nan), progress=0.5)
    same = engine.begin(ranking, so_far=known).result()
    np.testing.assert_allclose(same.measured, ranked.measured, atol=1e-4)
    np.testing.assert_array_equal(same.estimate, ranked.estimate)
    assert same.features == ranked.features and same.random == ranked.random


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda: engine.feature_curve(E, SAE), "Of one prompt a feature's mean"),
        (lambda: engine.feature_curve(E, SAE, TASK.pairs, first="f2.3"), "f2.3 is no feature of"),
        (lambda: engine.feature_curve(E, SAE, TASK.pairs, first="m3"), "m3 is no feature of"),
        (lambda: engine.feature_curve(E, SAE, TASK.pairs, first="f3.99999"), "There is no feature"),
        (lambda: engine.feature_curve(E, SAE, TASK.pairs, others="median"), "mean or zero"),
        (lambda: engine.feature_curve(E, SAE, TASK.pairs, controls=200), "0 to 100 random orders"),
        (
            lambda: engine.feature_curve(replace(E, positions="generated"), SAE, TASK.pairs),
            "no feature",
        ),
        (
            lambda: engine.feature_curve(replace(E, changes="zero m3 r6"), SAE, TASK.pairs),
            "fares alike",
        ),
    ],
)
def test_what_cannot_be_asked_is_said(asked: Any, said: str) -> None:
    with pytest.raises(engine.EngineError, match=said):
        asked()


def test_without_a_distractor_the_log_probability_is_kept() -> None:
    pairs = [replace(pair, distractor="") for pair in TASK.pairs]
    curve = engine.feature_curve(E, SAE, pairs, others="zero", controls=0)
    assert curve.metric == "log_prob" and curve.smallest_random() is None
    clean = engine.score_task("seq-gpt2", engine.Task("mine", pairs)).clean
    np.testing.assert_allclose(np.exp(curve.whole), clean.prob, rtol=1e-4)
    assert without([1])(torch.ones(1, N), torch.zeros(1))[0].sum() == N - 1
