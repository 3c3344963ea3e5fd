"""Answers of several tokens: joint log-probabilities against the reference, many at once."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

import engine
from engine.passes import forward
from tests.generation.test_generation import acting_at, drawn
from tests.passes.test_ablation_against_hugging_face import changes_of
from tests.support.noting import noting
from tests.support.reference import Reference
from tests.support.some import some
from tests.support.tiny_models import Tiny

ANSWERS = [" t1", " t2", " t3 t4", " t3 t5", " t3 t4 t6", " t7 t8 t9 t10", " t1 t1"]


def joint(e: Any, ref: Any, ids: Any) -> list[float]:
    """Log-probability of each of these ids after the prompt, one text at a time."""
    prompt = list(engine.tokenize(e.model, e.prompt).ids)
    where = acting_at(e, len(prompt), len(prompt) + len(ids) - 1, 0, 10**6)
    changes = changes_of(e, ref, where) if where else []
    log_probs = ref.logits([*prompt, *ids[:-1]], changes).log_softmax(-1)
    return [float(log_probs[len(prompt) - 1 + i, token]) for i, token in enumerate(ids)]


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma3_text", "mistral"])
@pytest.mark.parametrize("method", ["zero", "mean", "resample", "mean_by_position", "set(0.7)"])
def test_each_token_of_each_answer_is_scored_as_by_the_reference(
    kind: str, method: str, tiny: Tiny
) -> None:
    directory = str(tiny(kind))
    ref, rng = Reference(directory), random.Random(method)
    for positions in ("all", "prompt", "generated", "0,-1"):
        e = drawn(rng, kind, directory, method, positions)
        found = engine.rank_answers(e, ANSWERS)
        assert [a.text for a in found.answers] != [] and len(found.answers) == len(ANSWERS)
        for answer in found.answers:
            for run, one in ((e.clean, answer.clean), (e, answer.ablated)):
                expected = joint(run, ref, answer.ids)
                assert one is not None
                np.testing.assert_allclose(one.log_probs, expected, atol=1e-4)
                assert one.log_prob == pytest.approx(sum(expected), abs=1e-4)
                assert one.prob == pytest.approx(np.exp(one.log_prob))


def test_answers_are_ranked_best_first_with_their_moves(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("llama")), "t1 t5 t9", ablations="a0 m1")
    found = engine.rank_answers(e, ANSWERS)
    clean = [some(a.clean).log_prob for a in found.answers]
    assert clean == sorted(clean, reverse=True)
    assert [some(a.clean).rank for a in found.answers] == list(range(1, len(ANSWERS) + 1))
    ablated = [some(a.ablated).log_prob for a in found.ablated]
    assert ablated == sorted(ablated, reverse=True)
    assert all(a.move == some(a.clean).rank - some(a.ablated).rank for a in found.answers)
    for run in ("clean", "ablated"):
        assert sum(getattr(a, run).share for a in found.answers) == pytest.approx(1)


def test_many_at_once_equal_one_at_a_time(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("mistral")), "t1 t5 t9", ablations="a0 m1")
    rng = random.Random(0)
    answers = {
        "".join(f" t{rng.randrange(60)}" for _ in range(rng.randrange(1, 5))) for _ in range(60)
    }
    together = {a.text: a for a in engine.rank_answers(e, sorted(answers)).answers}
    assert set(together) == answers and not any(a.error for a in together.values())
    for text in list(answers)[:10]:
        (alone,) = engine.rank_answers(e, [text]).answers
        for run in ("clean", "ablated"):
            np.testing.assert_allclose(
                getattr(alone, run).log_probs, getattr(together[text], run).log_probs, atol=1e-5
            )


@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
def test_the_next_fibonacci_number_wins_whole(model: str) -> None:
    e = engine.Experiment(model, "1 2 3 5 8", ablations="0.1")
    found = engine.rank_answers(e, [" 14", " 13", " 21"])
    assert found.answers[0].text == " 13"
    assert len(found.answers[0].ids) == (1 if model == "seq-gpt2" else 3)


def test_it_agrees_with_the_answers_of_next_token(tiny: Tiny) -> None:
    e = engine.Experiment(
        str(tiny("llama")), "t1 t5 t9", answer=" t3 t4", distractor=" t7", ablations="a1"
    )
    asked = engine.next_token(e)
    found = {a.text: a for a in engine.rank_answers(e, [" t3 t4", " t7"]).answers}
    for candidate in (some(asked.answer), some(asked.distractor)):
        for run in ("clean", "ablated"):
            ours = getattr(found[candidate.text], run)
            np.testing.assert_allclose(ours.log_probs, getattr(candidate, run).log_probs, atol=1e-5)


def test_an_answer_that_cannot_be_scored_says_why_in_its_place(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2", n_positions=8)), "t1 t2 t3", ablations="0.1")
    found = engine.rank_answers(e, [" t5", "", " xyz", " t1" * 9, " \ud83d"])
    assert found.answers[0].text == " t5" and not found.answers[0].error
    told = [a.error for a in found.answers[1:]]
    assert all(a.clean is None and a.ablated is None for a in found.answers[1:])
    for error, words in zip(told, ("empty", "cannot write", "at most 8", "surrogate"), strict=True):
        assert words in error
    nothing = engine.rank_answers(e, [""])
    assert nothing.answers[0].error and not nothing.ablated


def test_what_makes_answers_hard_to_compare_is_told(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")), "t1 t2", ablations="0.1")
    notes = " ".join(engine.rank_answers(e, [" t3", " t3 t4"]).notes)
    assert "begins" in notes and "different numbers of tokens" in notes
    assert not engine.rank_answers(e, [" t3", " t4"]).notes


def test_no_answers_and_too_many_are_told(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")), "t1")
    with pytest.raises(engine.TokenError, match="no answer"):
        engine.rank_answers(e, [])
    with pytest.raises(engine.TokenError, match="at most 10,000"):
        engine.rank_answers(e, [" t1"] * 10_001)


def test_every_token_of_the_vocabulary_is_one_text(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = str(tiny("gpt2"))
    read: list[Any] = []
    monkeypatch.setattr(forward, "run", noting(read, lambda _, rows: rows, forward.run))
    found = engine.rank_answers(
        engine.Experiment(directory, "t1 t2"), [f" t{i}" for i in range(60)]
    )
    assert sum(len(rows) for rows in read) == 2
    total = sum(float(some(a.clean).prob) for a in found.answers)
    logits = Reference(directory).logits(engine.tokenize(directory, "t1 t2").ids)[-1]
    ids = torch.tensor([a.ids[0] for a in found.answers])
    assert total == pytest.approx(float(logits.softmax(-1)[ids].sum()), abs=1e-5)
