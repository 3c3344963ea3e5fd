"""Words in their contexts and spellings, and published scores made again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import engine
from tests.support.tiny_models import Tiny
from tests.test_architecture import ROOT


@torch.no_grad()
def as_published(model: Any, tokenizer: Any, words: list[str], meant: list[str], by: int) -> Any:
    """The share of words [layer head_index], word for word as the published code goes about it."""
    body, width = model.transformer, model.config.n_embd
    right, n = np.zeros((model.config.n_layer, model.config.n_head)), 0
    for start in range(len(words) - 4):
        some = words[start : start + 4]
        ids = tokenizer(" ".join(some), return_tensors="pt").input_ids
        stream = body(ids, output_hidden_states=True).hidden_states[1][0]
        assert len(stream) == 4
        n += 4
        for layer, block in enumerate(body.h):
            values = block.attn.c_attn(block.ln_1(stream))[:, 2 * width :]
            for head, own in enumerate(torch.arange(width).chunk(model.config.n_head)):
                wrote = values[:, own] @ block.attn.c_proj.weight[own]
                top = model.lm_head(body.ln_f(wrote)).topk(5).indices
                for place, word in enumerate(some):
                    texts = [tokenizer.decode(token) for token in top[place]]
                    aim = meant[words.index(word) + by]
                    right[layer, head] += aim in texts or f" {aim}" in texts
    return right / n


@pytest.mark.parametrize("one", engine.PUBLISHED, ids=lambda one: one.name)
def test_published_scores_are_made_as_the_published_code_makes_them(
    one: engine.PublishedScore,
) -> None:
    path = ROOT / "assets" / "models" / "seq-gpt2"
    model, tokenizer = (
        kind.from_pretrained(path) for kind in (AutoModelForCausalLM, AutoTokenizer)
    )
    found = engine.begin(one.question("seq-gpt2")).result()
    meant = as_published(
        model, tokenizer, list(one.inputs), list(one.outputs or one.inputs), one.by
    )
    np.testing.assert_allclose(found.score(one.by), meant, atol=1e-9)
    assert found.n(one.by) == one.n == 32 and meant.max() > 0
    assert found.chance > 1.5 * 5 / found.n_tokens  # most words are two tokens
    shares = [share * one.n for _, share in one.reported]
    assert shares == [round(share) for share in shares]


def test_each_reported_head_has_its_row_and_a_smaller_model_no_number() -> None:
    rows = engine.published_scores("seq-gpt2")
    assert len(rows) == 9 and {row["n"] for row in rows} == {32}
    assert all(row["found"] != row["found"] for row in rows)  # it has 6 layers of 8 heads
    first = next(row for row in rows if row["site"] == "9.1")
    assert first["score"] == "number word → the next" and first["reported"] == 29 / 32
    own = engine.PublishedScore("x", ("one", "two", "three", "four", "five"), None, 1,
                                (("2.1", 0.5),))  # fmt: skip
    scores = engine.begin(own.question("seq-gpt2")).result()
    assert own.beside(scores)[0]["found"] == scores.score(1)[2, 1] and scores.n(1) == 4


def test_a_word_is_read_where_it_stands() -> None:
    words = ("one", "two", "three", "four", "five", "six")
    alone, fours, sequence = (
        engine.ov_scores("seq-llama", words, context=context) for context in engine.CONTEXTS
    )
    assert alone.inputs.named == sequence.inputs.named == words
    assert fours.inputs.named == (*words[:4], *words[1:5]) and fours.n(1) == 8
    assert fours.above_chance(1) >= alone.above_chance(1)  # of five different words
    np.testing.assert_array_equal(alone.rank[:, :, 0], sequence.rank[:, :, 0])  # behind BOS alone
    assert (alone.rank[:, :, 3] != sequence.rank[:, :, 3]).any()
    np.testing.assert_array_equal(fours.rank[:, :, 2], sequence.rank[:, :, 2])
    embedding, other = (
        engine.ov_scores("seq-llama", words, context=context, embedding="embedding")
        for context in engine.CONTEXTS[::2]
    )
    np.testing.assert_array_equal(embedding.rank, other.rank)  # no positions are added there


def test_either_spelling_counts_and_chance_with_it(tiny: Tiny) -> None:
    spaced = engine.ov_scores("seq-gpt2", "months", "ordinals")
    either = engine.ov_scores("seq-gpt2", "months", "ordinals", spelling="either")
    assert (either.rank <= spaced.rank).all() and (either.rank < spaced.rank).any()
    assert spaced.chance < either.chance <= 2 * spaced.chance
    same = engine.ov_scores(str(tiny("gpt2")), ["t4", "t5", "t6", "t7"], spelling="either")
    assert same.chance == 5 / same.n_tokens  # there a word is one token, spaced or not


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"context": "in threes"}, "in fours"),
        ({"spelling": "any"}, "either"),
        ({"context": "in fours", "inputs": ["one", "two", "three"]}, "five words or more, not 3"),
    ],
)
def test_what_cannot_be_read_so_is_refused_in_words(fields: Any, said: str) -> None:
    with pytest.raises(engine.EngineError, match=said):
        engine.ov_scores("seq-gpt2", **fields)
