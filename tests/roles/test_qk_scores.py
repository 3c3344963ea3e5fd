"""Which word heads look at from which, beside plain Hugging Face and a pair made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import engine
from tests.support.family_reference import FamilyReference
from tests.support.induction import induction_pair
from tests.support.tiny_models import Tiny

WORDS = [f"t{i}" for i in range(4, 10)]
FAMILIES = ("gpt2", "llama", "qwen3", "gemma2", "gemma3_text")


def turned(vectors: torch.Tensor, position: int, theta: float) -> torch.Tensor:
    """Queries or keys [... d_head] turned as at a position: halves are the two axes of a plane."""
    half = vectors.shape[-1] // 2
    angles = position * theta ** (-torch.arange(half) / half)
    one, other = vectors[..., :half], vectors[..., half:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([one * cos - other * sin, other * cos + one * sin], -1)


@torch.no_grad()
def scores_of(hf: Any, layer: int, queries: torch.Tensor, keys: torch.Tensor, distance: int) -> Any:
    """Scores before the softmax, [head query key], as modelling code has them."""
    config = hf.config
    if config.model_type == "gpt2":
        block = hf.transformer.h[layer]
        weight, bias = block.attn.c_attn.weight, block.attn.c_attn.bias
        q, k = (
            (block.ln_1(x) @ weight + bias).chunk(3, -1)[part].unflatten(-1, (4, 8))
            for part, x in enumerate((queries, keys))
        )
        return torch.einsum("ihe,jhe->hij", q, k) / 8**0.5
    block = hf.model.layers[layer]
    attention, d_head = block.self_attn, block.self_attn.head_dim
    rope = config.rope_parameters
    if "rope_theta" not in rope:
        rope = rope[config.layer_types[layer]]
    sides = []
    for x, project, norm, position in (
        (queries, attention.q_proj, "q_norm", distance),
        (keys, attention.k_proj, "k_norm", 0),
    ):
        made = project(block.input_layernorm(x)).unflatten(-1, (-1, d_head))
        if hasattr(attention, norm):
            made = getattr(attention, norm)(made)
        sides.append(turned(made, position, rope["rope_theta"]))
    q, k = sides
    k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
    size = getattr(config, "query_pre_attn_scalar", None) or d_head
    scores = torch.einsum("ihe,jhe->hij", q, k) / size**0.5
    cap = getattr(config, "attn_logit_softcapping", None)
    return scores if cap is None else cap * torch.tanh(scores / cap)


@pytest.mark.parametrize("embedding", ["layer 0", "embedding"])
@pytest.mark.parametrize("family", FAMILIES)
def test_scores_equal_plain_hugging_face(family: str, embedding: str, tiny: Tiny) -> None:
    directory = tiny(family)
    reference, hf = FamilyReference(family, directory), AutoModelForCausalLM.from_pretrained(
        directory
    )  # fmt: skip
    at = ("resid_pre", int(embedding == "layer 0"))
    begins = engine.tokenize(str(directory), "").ids
    for distance in (1, 2):
        found = engine.qk_scores(
            str(directory), WORDS, WORDS[:4], distance=distance, embedding=embedding
        )
        vectors = torch.stack(
            [reference.values((*begins, one), [at])[at][-1].flatten() for one in found.queries.ids]
        )
        for layer in range(3):
            meant = scores_of(hf, layer, vectors, vectors[:4], distance)
            np.testing.assert_allclose(found.scores[layer], meant, rtol=1e-3, atol=1e-4)
        assert found.by_distance == (family != "gpt2")


def test_what_lies_beyond_a_window_is_not_known(tiny: Tiny) -> None:
    found = engine.qk_scores(str(tiny("gemma2")), WORDS, distance=5)
    assert np.isnan(found.scores[[0, 2]]).all() and np.isfinite(found.scores[1]).all()
    assert "Layers 0, 2 do not look 5 tokens back." in found.notes
    assert {row["layer"] for row in found.table()} == {1}


def test_an_induction_pair_made_by_hand_is_found(tmp_path: Path) -> None:
    directory = induction_pair(tmp_path / "m")
    words = [f"t{i}" for i in range(4, 24)]
    through = engine.qk_scores(directory, words, keys_through="0.1")
    assert through.table(0)[0]["site"] == "1.2" and through.score(0)[1, 2] == 1
    assert through.margin(0)[1, 2] > 0 and through.score(1)[1, 2] < through.above_chance(1)
    others = through.score(0)[1][[0, 1, 3]]
    assert (others < through.above_chance(0)).all() and np.isnan(through.score(0)[0]).all()
    for head in ("", "0.2"):  # behind layer 0 a word has been copied from itself already
        plain = engine.qk_scores(directory, words, keys_through=head, embedding="embedding")
        assert plain.score(0)[1, 2] < plain.above_chance(0)
    rows = through.words("1.2")
    assert len(rows) == len(words) ** 2 and rows[0]["query"] == rows[0]["key"] == "t4"
    assert sum(float(str(row["share"])) for row in rows[: len(words)]) == pytest.approx(1)
    tops = through.tops("1.2")
    assert [row["looks"] for row in tops] == words and all(row["right"] for row in tops)
    assert not any(row["right"] for row in through.tops("1.2", 1))


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
def test_random_weights_lie_within_chance(kind: str, tiny: Tiny) -> None:
    found = engine.qk_scores(str(tiny(kind)), [f"t{i}" for i in range(1, 41)])
    for by in (-1, 1, 2):
        assert np.nanmax(found.score(by)) < found.above_chance(by)
        assert abs(np.nanmean(found.score(by)) - found.chance) < 0.04


def test_results_draw_and_tabulate_themselves() -> None:
    found = engine.qk_scores("seq-gpt2", "weekdays", "months")
    rows = found.table(0)
    assert len(rows) == 48 and rows == sorted(rows, key=lambda row: -float(str(row["score"])))
    assert {row["n"] for row in rows} == {7} and rows[0]["chance"] == 1 / 12
    assert "look most at themselves" in found.grid().name
    figure = found.figure("1.3")
    assert np.abs(np.mean(figure.data[0].z, -1)).max() < 1e-6
    asked = engine.ScoreQK("seq-gpt2", engine.WORD_LISTS["weekdays"], engine.WORD_LISTS["months"])
    assert engine.Question.from_url(asked.to_url()) == asked
    np.testing.assert_array_equal(engine.begin(asked).result().scores, found.scores)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"queries": "colours"}, "no list"),
        ({"distance": 0}, "1 token or more"),
        ({"distance": 10_000}, "stand at most"),
        ({"keys_through": "m1"}, "is no head"),
        ({"keys_through": "9.1"}, "is no head"),
        ({"embedding": "layer 9"}, "layer 0"),
        ({"queries": [f"w{i}" for i in range(60)]}, "3,600 pairs"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_words(fields: Any, said: str) -> None:
    with pytest.raises(engine.EngineError, match=said):
        engine.qk_scores("seq-llama", **{"queries": "weekdays", **fields})
    found = engine.qk_scores("seq-gpt2", "weekdays", keys_through="2.0")
    for head in ("m1", "9.9", "1.1"):
        with pytest.raises(engine.EngineError):
            found.words(head)
    with pytest.raises(engine.EngineError, match="No word has another"):
        found.score(50)


def test_families_without_a_matrix_of_keys_have_scores_all_the_same(
    tiny: Tiny, member: Callable[[str], Path]
) -> None:
    found = engine.qk_scores(str(tiny("deepseek_v3")), WORDS)
    assert np.isfinite(found.scores).all()
    with pytest.raises(engine.EngineError):
        engine.qk_scores(str(tiny("deepseek_v3")), WORDS, keys_through="0.1")
    falcon = engine.qk_scores(str(member("falcon")), WORDS)
    assert np.isfinite(falcon.scores).all()
