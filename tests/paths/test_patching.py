"""Paths patched by their linear change equal paths patched by holding everything else."""

from __future__ import annotations

import functools
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

import engine
from tests.support.path_reference import PathReference
from tests.support.tiny_models import HEADS, LAYERS, Tiny

CLEAN, OTHER = "t1 t5 t9 t2 t7", "t4 t8 t3 t11 t6"
EXACT = ("gpt2", "llama", "qwen2", "qwen3", "gemma2", "gemma3_text", "olmo2", "mistral", "mixtral",
         "gptj", "gpt_neox", "phi", "stablelm", "opt")  # fmt: skip
RECEIVERS = (
    "logits", "m2", "m1", "2.1.q", "2.3.k", "2.2.v", "1.0.v 1.3.q", "2.1", "1.2.q m1 2.0.k m2",
)  # fmt: skip


def experiment(directory: Any, **others: Any) -> engine.Experiment:
    plain = {"corrupted": OTHER, "answer": "t3", "distractor": "t4", "method": "resample"}
    return engine.Experiment(str(directory), CLEAN, **{**plain, **others})


@functools.cache
def reference(directory: str) -> PathReference:
    return PathReference(directory)


def expected(directory: str, sender: engine.Site, receivers: Any, sequential: bool) -> float:
    ref = reference(directory)
    clean, other = (engine.tokenize(directory, text).ids for text in (CLEAN, OTHER))
    match sender:
        case engine.Head(layer, head):
            named = ("head", layer, head)
        case engine.MLP(layer):
            named = ("mlp", layer, 0)
    reached = [(r.part, r.layer, r.head) for r in receivers if r.reads(sender, sequential)]
    if not reached:
        return float("nan")
    logits = ref.patched(clean, other, named, reached)
    return float(logits[6] - logits[7])


PARALLEL = ("gptj", "gpt_neox", "phi", "stablelm")


@pytest.mark.parametrize("kind", EXACT)
def test_a_path_equals_holding_everything_else_on_the_hugging_face_model(
    kind: str, tiny: Tiny
) -> None:
    directory = str(tiny(kind))
    rng = Random(kind)
    senders: list[engine.Site] = [
        *(engine.Head(i, h) for i in range(LAYERS) for h in range(HEADS)),
        *map(engine.MLP, range(LAYERS)),
    ]
    moved = 0.0
    for named in RECEIVERS:
        some = tuple(rng.sample(senders, 6))
        found = engine.path_patch(experiment(directory), some, named)
        theirs = [expected(directory, s, found.receivers, kind not in PARALLEL) for s in some]
        np.testing.assert_allclose(found.logit_diff[0], theirs, atol=1e-4, rtol=0)
        moved = max(moved, np.nanmax(np.abs(found.effect), initial=0))
    assert moved > 0.01, "the paths drawn change too little to judge"
    engine.release(directory)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2", "falcon", "phi3"])
def test_patching_from_the_same_prompt_changes_nothing(kind: str, tiny: Tiny) -> None:
    e = experiment(tiny(kind), corrupted=CLEAN)
    for named in ("logits", "m2", "1.2 2.1.k"):
        found = engine.path_patch(e, None, named)
        reached = ~np.isnan(found.effect)
        assert reached.any()
        np.testing.assert_allclose(found.effect[reached], 0, atol=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2", "falcon", "phi3"])
def test_the_last_layers_own_path_to_the_logits_is_its_whole_effect(kind: str, tiny: Tiny) -> None:
    """Nothing comes after the last MLP, so its direct effect is that of ablating it."""
    e = experiment(tiny(kind))
    found = engine.path_patch(e, f"m{LAYERS - 1}", "logits")
    ablated = engine.next_token(engine.Experiment(**{**vars(e), "ablations": f"m{LAYERS - 1}"}))
    assert found.logit_diff[0, 0] == pytest.approx(ablated.ablated_logit_diff, abs=1e-4)
    assert found.clean[0] == pytest.approx(ablated.clean_logit_diff, abs=1e-4)


@pytest.mark.parametrize("method", ["mean", "mean_by_position"])
def test_averages_over_one_prompt_are_its_values(method: str, tiny: Tiny) -> None:
    e = experiment(tiny("llama"), method=method)
    found = engine.path_patch(e, "0.1 m0", "2.1.q m1")
    assert np.isfinite(found.effect).all()
    if method == "mean_by_position":
        resampled = engine.path_patch(experiment(tiny("llama")), "0.1 m0", "2.1.q m1")
        np.testing.assert_allclose(found.logit_diff, resampled.logit_diff, atol=1e-5)


def test_positions_are_where_the_sender_is_replaced(tiny: Tiny) -> None:
    directory = tiny("gpt2")
    first = engine.path_patch(experiment(directory, positions="1"), "0.1", "logits")
    assert first.effect[0] == pytest.approx(0, abs=1e-5)
    last = engine.path_patch(experiment(directory, positions="-1"), "0.1", "logits")
    whole = engine.path_patch(experiment(directory), "0.1", "logits")
    assert last.effect[0] == pytest.approx(whole.effect[0], abs=1e-5) != 0


def test_an_answer_that_shares_its_first_token_is_compared_where_it_differs(tiny: Tiny) -> None:
    e = experiment(tiny("gpt2"), answer="t9 t3", distractor="t9 t4")
    found = engine.path_patch(e, "m2", "logits")
    clean = engine.next_token(e)
    assert found.clean[0] == pytest.approx(clean.clean_logit_diff, abs=1e-4)


def test_a_task_is_its_pairs_one_by_one_and_chunks_change_nothing(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = str(tiny("llama"))
    pairs = (
        engine.Pair(CLEAN, OTHER, "t3", "t4"),
        engine.Pair("t2 t2 t6", "t9 t1 t1", "t8", "t5"),
    )
    e = engine.Experiment(directory, method="resample")
    found = engine.path_patch(e, None, "1.1 m2", task=engine.Task("two", pairs))
    monkeypatch.setattr("engine.paths.patching._TOKENS_A_STEP", 1)
    for i, pair in enumerate(pairs):
        one = engine.Experiment(**{**vars(e), **vars(pair)})
        alone = engine.path_patch(one, None, "1.1 m2")
        np.testing.assert_allclose(found.logit_diff[i], alone.logit_diff[0], atol=1e-4)


@pytest.mark.parametrize("split", [False, True])
def test_a_matrix_has_the_single_paths_and_no_path_backwards(split: bool, tiny: Tiny) -> None:
    e = experiment(tiny("gpt2"))
    found = engine.path_matrix(e, "0.1 1.2 m1 2.0 m2", split=split)
    names = [" ".join(map(str, some)) for some in found.inputs]
    heads = 3 if split else 1
    assert len(names) == 3 * heads + 3 and names[-1] == "logits"
    assert names[0] == ("0.1.q" if split else "0.1.q 0.1.k 0.1.v")
    for i, sender in enumerate(found.senders):
        for j, name in enumerate(names):
            alone = engine.path_patch(e, [sender], name)
            assert found.effect[i, j] == pytest.approx(alone.effect[0], abs=1e-4, nan_ok=True)
    reached = dict(zip(names, np.isfinite(found.effect).T, strict=True))
    order = [str(s) for s in found.senders]
    assert [s for s, yes in zip(order, reached["m1"], strict=True) if yes] == ["0.1", "1.2"]
    assert not reached[names[0]].any() and reached["logits"].all()


def test_heads_do_not_feed_the_mlp_beside_them_where_blocks_are_parallel(tiny: Tiny) -> None:
    assert np.isnan(engine.path_patch(experiment(tiny("gptj")), "1.2", "m1").effect).all()
    assert np.isfinite(engine.path_patch(experiment(tiny("gpt2")), "1.2", "m1").effect).all()


def test_grouped_keys_are_shared_and_said_to_be(tiny: Tiny) -> None:
    e = experiment(tiny("llama"))
    found = engine.path_patch(e, "0.1", "2.0.k")
    assert any("Each 2 heads of a layer share" in note for note in found.notes)
    beside = engine.path_patch(e, "0.1", "2.1.k")
    assert found.logit_diff == pytest.approx(beside.logit_diff, abs=1e-6)
    assert not engine.path_patch(e, "0.1", "2.0.q").notes


def test_a_model_whose_outputs_are_not_added_as_they_are_is_refused(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.paths.patching._ADDED", -1.0)  # as if none of them were
    with pytest.raises(engine.EngineError, match="does not add what its heads and MLPs write"):
        engine.path_patch(experiment(tiny("gpt2")), None)


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda e: engine.path_patch(e, "0.1", "3.0.q"), "3.0 is in layer 3"),
        (lambda e: engine.path_patch(e, "0.1", "m1.q"), "“m1.q” is no input"),
        (lambda e: engine.path_patch(e, "0.1", "n1.2"), "n1.2 is no receiver"),
        (lambda e: engine.path_patch(e, "0.1", "everything"), "“everything” is not a site"),
        (lambda e: engine.path_patch(e, "0.1", ""), "No receivers are named"),
        (lambda e: engine.path_patch(e, "n0.1"), "not from n0.1"),
        (lambda e: engine.path_patch(e, ""), "No senders are named"),
        (
            lambda e: engine.path_patch(engine.Experiment(**{**vars(e), "answer": ""}), "0.1"),
            "give an answer and a distractor",
        ),
        (
            lambda e: engine.path_patch(engine.Experiment(**{**vars(e), "corrupted": "t1"}), "0.1"),
            "is 2 tokens long and the prompt 6",
        ),
    ],
)
def test_what_cannot_be_patched_is_told(ask: Any, told: str, tiny: Tiny) -> None:
    with pytest.raises(engine.EngineError, match=told):
        ask(experiment(tiny("gpt2")))


def test_it_can_be_called_off(tiny: Tiny) -> None:
    job = engine.begin(engine.PatchPaths(experiment(tiny("gpt2")), None, "2.0-3 m2"))
    job.cancel()
    with pytest.raises(engine.Cancelled):
        job.result(60)
    torch.testing.assert_close(
        torch.tensor(engine.path_patch(experiment(tiny("gpt2")), None).clean),
        torch.tensor(engine.path_patch(experiment(tiny("gpt2")), "0.1").clean),
    )
