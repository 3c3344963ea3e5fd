"""Directions go through every room as other changes do: each gives the numbers of `next_token`, or
refuses in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import engine
from tests.support.some import some
from tests.support.tiny_models import Tiny

VECTORS = (
    engine.Direction("v", "r1", engine.FromPrompts(["t1 t2", "t3 t9"], ["t4 t5", "t6 t6"])),
    engine.Direction("w", "m1", engine.FromUnembedding("t3", "t4")),
)
CHANGES = "add(v, 2) r1\nproject(w) r2 @1-2\nadd(w, -1) m2"
PAIRS = (
    engine.Pair("t1 t5 t9 t2", "t3 t8 t8 t1", "t3", "t4"),
    engine.Pair("t6 t5 t2 t2 t9", "t3 t8 t7 t1 t1", "t5", "t2"),
)
CLOSE: dict[str, Any] = {"atol": 1e-4, "rtol": 1e-4}


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def e(request: pytest.FixtureRequest, tiny: Tiny) -> engine.Experiment:
    directory = str(tiny(request.param, eos_token_id=None))
    return engine.Experiment(
        directory, "t1 t5 t9 t2", "t3 t8 t8 t1", "t3", "t4", changes=CHANGES, vectors=VECTORS
    )


def logits(ranking: engine.Ranking) -> np.ndarray:
    return ranking.logits[np.argsort(ranking.ids)]


def test_the_lens_ends_in_the_models_output_and_attention_is_what_passed(
    e: engine.Experiment,
) -> None:
    ranked = engine.next_token(e)
    assert np.abs(logits(ranked.ablated) - logits(ranked.clean)).max() > 0.05
    lens = engine.logit_lens(e)
    for run, own in ((lens.clean, ranked.clean), (lens.ablated, ranked.ablated)):
        assert run.ids[-1, -1, 0] == own.ids[0]
        np.testing.assert_allclose(run.probs[-1, -1, 0], own.probs[0], **CLOSE)
    seen = engine.activations(e, "pattern")
    shown = engine.attention(e, heads="1.0 2.3")
    for i, (layer, head) in enumerate([(1, 0), (2, 3)]):
        np.testing.assert_allclose(
            shown.ablated.pattern[i], seen.ablated["pattern", layer][head], **CLOSE
        )


def test_generation_ranked_answers_and_many_prompts_begin_as_next_token_says(
    e: engine.Experiment,
) -> None:
    ranked = engine.next_token(e)
    first = next(iter(engine.generate(e, 3, k=64)))
    np.testing.assert_allclose(logits(some(first.ablated).top), logits(ranked.ablated), **CLOSE)
    many = engine.generate_many(e, [e.prompt, "t9 t9 t1"], 4).result()
    steps = [some(step.ablated or step.clean).token_id for step in engine.generate(e, 4)]
    assert some(many.rows[0].continuations[-1]).ids == tuple(steps)
    assert some(many.rows[0].continuations[0]).ids != tuple(steps)
    answers = engine.rank_answers(e, ["t3", "t4"])
    for answer in answers.answers:
        at = ranked.ablated.ids.tolist().index(answer.ids[0])
        np.testing.assert_allclose(
            some(answer.ablated).log_prob, ranked.ablated.log_probs[at], **CLOSE
        )


def test_tasks_and_lengths_score_what_next_token_scores(e: engine.Experiment) -> None:
    scored = engine.score_task(e.model, engine.Task("own", PAIRS), e)
    for pair, diff in zip(PAIRS, some(scored.ablated).logit_diff, strict=True):
        one = engine.next_token(
            replace(e, prompt=pair.prompt, answer=pair.answer, distractor=pair.distractor)
        )
        np.testing.assert_allclose(diff, some(one.ablated_logit_diff), **CLOSE)


def test_lengths_end_in_the_whole_prompts_scores() -> None:
    made = engine.FromPrompts(["1 2 3 4"], ["8 1 6 3"])
    e = engine.Experiment(
        "seq-gpt2", "1 2 3 4", "8 1 6 3", " 5", " 4",
        changes="add(v, -1) r3", vectors=[engine.Direction("v", "r3", made)],
    )  # fmt: skip
    found, whole = engine.score_lengths(e), engine.next_token(e)
    np.testing.assert_allclose(
        some(found.ablated).logit_diff[0, -1], some(whole.ablated_logit_diff), **CLOSE
    )
    assert some(whole.ablated_logit_diff) < some(whole.clean_logit_diff) - 1


@pytest.mark.parametrize("estimate", [False, True])
def test_a_sweep_on_top_is_each_site_silenced_before_the_directions(
    e: engine.Experiment, estimate: bool
) -> None:
    swept = engine.sweep(e, estimate=estimate)
    ranked = engine.next_token(e)
    np.testing.assert_allclose(swept.mean("given"), some(ranked.ablated_logit_diff), **CLOSE)
    assert swept.estimate is None or swept.estimate.heads.any()
    for site in ("0.1", "1.3", "2.0", "m0", "m1", "m2"):
        one = engine.next_token(replace(e, ablations=site))
        layer = engine.parse_sites(site)[0].layer
        own = swept.mlps[layer] if site[0] == "m" else swept.heads[layer, int(site[2])]
        np.testing.assert_allclose(own, some(one.ablated_logit_diff), **CLOSE)


def test_direct_attribution_still_adds_up_with_what_was_added_named_other(
    e: engine.Experiment,
) -> None:
    found = engine.direct_attribution(e)
    for run in (found.clean, found.ablated):
        assert abs(run.rest) < 1e-3
        parts = run.heads + run.mlps + run.embedding + run.attention_biases + run.other
        parts += run.norm_bias + run.unembed_bias + run.cap
        np.testing.assert_allclose(parts, run.logit_diff, **CLOSE)
    ranked = engine.next_token(e)
    np.testing.assert_allclose(found.ablated.logit_diff, some(ranked.ablated_logit_diff), **CLOSE)
    assert abs(found.clean.other) < 1e-3 < abs(found.ablated.other)


REFUSING: dict[str, Callable[[engine.Experiment], Any]] = {
    "patch": engine.patch,
    "node_attribution": engine.node_attribution,
    "edge_attribution": engine.edge_attribution,
}


@pytest.mark.parametrize("asked", REFUSING)
def test_questions_between_two_runs_refuse_it_in_words(asked: str, e: engine.Experiment) -> None:
    with pytest.raises(engine.EngineError, match=r"changes something \(add\(v, 2.0\) r1\)"):
        REFUSING[asked](e)
