"""Models whose frequencies follow the length of the text: a text's numbers are its own."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

import engine
from tests.support.some import some
from tests.support.tiny_models import WORDS, Tiny

BORDER = 16
LONG = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": BORDER,
        "short_factor": [1, 1.5, 2, 3], "long_factor": [2, 9, 14, 25]}  # fmt: skip
MODELS = {
    "longrope": ("phi3", {"rope_parameters": LONG, "original_max_position_embeddings": BORDER}),
    "dynamic": ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 4.0,
                                              "rope_theta": 10000.0},
                          "max_position_embeddings": BORDER}),
}  # fmt: skip


@functools.cache
def hugging_face(directory: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager").eval()


def logits(directory: str, ids: Any) -> torch.Tensor:
    """[pos d_vocab] of one text, read by a model that has read nothing before."""
    hugging_face.cache_clear()  # it remembers the longest text it has seen
    with torch.no_grad():
        return hugging_face(directory)(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[
            0
        ]


@pytest.fixture(params=MODELS)
def directory(request: pytest.FixtureRequest, tiny: Tiny) -> str:
    kind, changes = MODELS[request.param]
    return str(tiny(kind, eos_token_id=None, **{k: _hashable(v) for k, v in changes.items()}))


class _Frozen(dict):
    def __hash__(self) -> int:  # type: ignore[override]  # a fixture's key
        return hash(repr(self))

    def __lt__(self, other: object) -> bool:
        return repr(self) < repr(other)


def _hashable(value: Any) -> Any:
    return _Frozen(value) if isinstance(value, dict) else value


def prompt_of(n: int) -> str:
    """A prompt of n tokens, BOS included."""
    return " ".join(WORDS[(3 + 7 * i) % len(WORDS)] for i in range(n - 1))


def close(a: Any, b: Any) -> None:
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), atol=1e-4, rtol=0)


@pytest.mark.parametrize("n", [13, 14, 15, 16, 17])
def test_an_answer_leaves_the_prompts_own_numbers_alone(directory: str, n: int) -> None:
    e = engine.Experiment(directory, prompt_of(n))
    plain = engine.next_token(e)
    assert len(plain.tokens) == n
    answered = replace(e, answer=" t3 t4 t5", distractor=" t9 t8 t7 t6")
    for found in (plain, engine.next_token(answered)):
        theirs = logits(directory, found.tokens.ids)[-1]
        close(found.clean.logits, theirs[found.clean.ids.tolist()])


@pytest.mark.parametrize("n", [14, 15, 16])
def test_each_token_of_an_answer_is_scored_after_the_text_before_it(directory: str, n: int) -> None:
    e = engine.Experiment(directory, prompt_of(n), answer=" t3 t4 t5 t6", distractor=" t9 t3 t1 t2")
    found = engine.next_token(e)
    ranked = engine.rank_answers(e, [e.answer, e.distractor, " t3 t4"]).answers
    for one in (some(found.answer), some(found.distractor)):
        expected = [
            float(logits(directory, found.tokens.ids + one.ids[:i])[-1].log_softmax(-1)[token])
            for i, token in enumerate(one.ids)
        ]
        close(one.clean.log_probs, torch.tensor(expected, dtype=torch.float64))
        (own,) = [r for r in ranked if r.text == one.text]
        close(some(own.clean).log_probs, torch.tensor(expected, dtype=torch.float64))
    assert any("other frequencies" in note for note in found.notes)


@pytest.mark.parametrize("n", [9, 15, 16])
def test_generation_across_the_border_is_the_uncached_forward(directory: str, n: int) -> None:
    e = engine.Experiment(directory, prompt_of(n), ablations="0.1 m2", method="scale(0.5)")
    stream = engine.generate(e, 12)
    ids = list(stream.prompt.ids)
    for step in stream:
        theirs = logits(directory, ids)[-1]
        run = some(step.clean)
        close(run.top.logits, theirs[run.top.ids.tolist()])
        assert run.token_id == int(theirs.argmax())
        ids.append(run.token_id)
    assert any("other frequencies" in note for note in stream.notes)


def test_a_longer_neighbour_leaves_a_shorter_prompts_text_alone(directory: str) -> None:
    prompts = [prompt_of(n) for n in (20, 9, 14, 16, 24)]
    e = engine.Experiment(directory, ablations="0.1")
    together = engine.generate_many(e, [engine.Example("", p) for p in prompts], 6).result()
    assert {row.prompt for row in together.rows} == set(prompts)
    for row in together.rows:
        alone = list(engine.generate(replace(e, prompt=row.prompt), 6))
        clean, ablated = map(some, row.continuations)
        assert [some(step.clean).token_id for step in alone] == list(clean.ids)
        assert [some(step.ablated).token_id for step in alone] == list(ablated.ids)


def test_what_was_read_before_changes_nothing(directory: str) -> None:
    short = engine.Experiment(directory, prompt_of(17))
    before = engine.next_token(short)
    engine.next_token(engine.Experiment(directory, prompt_of(30)))
    engine.logit_lens(engine.Experiment(directory, prompt_of(25)))
    after = engine.next_token(replace(short, ablations=engine.ablations("0.0"), method="scale(1)"))
    close(after.ablated.logits, before.clean.logits)
    close(before.clean.logits, logits(directory, before.tokens.ids)[-1][before.clean.ids.tolist()])


def test_a_sweep_says_what_it_cannot_score_in_one_pass(directory: str) -> None:
    e = engine.Experiment(directory, prompt_of(15), answer=" t3 t4 t5", distractor=" t9")
    with pytest.raises(engine.EngineError, match="cannot be scored in one pass"):
        engine.sweep(e)
    swept = engine.sweep(replace(e, answer=" t3"))
    for site in ("0.1", "m1", "2.3"):
        one = engine.next_token(replace(e, answer=" t3", ablations=engine.ablations(site)))
        layer, head = (int(x) for x in site.split(".")) if "." in site else (int(site[1:]), None)
        value = swept.mlps[layer] if head is None else swept.heads[layer, head]
        assert float(value) == pytest.approx(one.ablated_logit_diff, abs=1e-4)
