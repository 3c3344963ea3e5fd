"""What heads write of words, beside plain Hugging Face modules and models made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import engine
from tests.support.families import MEMBERS
from tests.support.family_reference import Change, FamilyReference
from tests.support.tiny_models import VOCAB, Tiny, save_tokenizer

BUNDLED = Path(engine.__file__).resolve().parent.parent / "assets" / "models"
WORDS = [f"t{i}" for i in range(4, 12)]
FAMILIES = (
    "gpt2", "gptj", "gpt_neox", "opt", "llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma",
    "gemma2", "gemma3_text", "phi", "phi3", "olmo2", "stablelm", "falcon", "granite", "cohere",
)  # fmt: skip


def always(value: Any) -> Any:
    return lambda old: torch.as_tensor(value, dtype=old.dtype).expand_as(old)


def logits_of_head(
    reference: FamilyReference, layer: int, head: int, stream: torch.Tensor
) -> torch.Tensor:
    """Logits of what one head adds to the stream where it attends to one token alone: the block is
    given that token, the other heads are set to nothing, and what comes is put behind the last."""
    here, last = (0,), len(reference.layers) - 1
    others = [h for h in range(reference.n_heads) if h != head]

    def added(silent: list[int]) -> torch.Tensor:
        seen: list[torch.Tensor] = []

        def look(old: torch.Tensor) -> torch.Tensor:
            seen.append(old.clone())
            return old

        reference.logits(
            (4,),
            [
                Change("resid_pre", layer, None, here, always(stream)),
                Change("z", layer, tuple(silent), here, always(0.0)),
                Change("attn_out", layer, None, here, look),
            ],
        )
        return seen[-1].flatten()

    wrote = added(others) - added([*others, head])  # the projection's bias is no head's
    found = reference.logits(
        (4,),
        [
            Change("resid_pre", last, None, here, always(wrote)),
            Change("attn_out", last, None, here, always(0.0)),
            Change("mlp_out", last, None, here, always(0.0)),
        ],
    )
    return found[-1]


@pytest.mark.parametrize("embedding", ["layer 0", "embedding"])
@pytest.mark.parametrize("family", [name for name in FAMILIES if name in MEMBERS])
def test_what_a_head_raises_equals_plain_hugging_face(
    family: str, embedding: str, member: Callable[[str], Path]
) -> None:
    directory = member(family)
    scores = engine.ov_scores(str(directory), WORDS, k=3, embedding=embedding)
    behind = family in ("gemma2", "gemma3_text", "olmo2")
    assert any("put behind one head alone" in note for note in scores.notes) == behind
    reference = FamilyReference(family, directory)
    begins = engine.tokenize(str(directory), "").ids
    layer_0 = ("resid_pre", int(embedding == "layer 0"))
    n_layers, n_heads = scores.copying.shape
    for i, token in list(enumerate(scores.inputs.ids))[:3]:
        stream = reference.values((*begins, token), [layer_0])[layer_0][-1].flatten()
        for layer, head in ((0, 1), (1, n_heads - 1), (n_layers - 1, 0)):
            logits = logits_of_head(reference, layer, head, stream)
            near = 1e-4 * float(logits.abs().max())
            top = logits[scores.top[layer, head, i].tolist()]
            meant = logits.topk(3).values
            assert torch.allclose(top, meant, atol=near), (layer, head, top, meant)
            for j, other in enumerate(scores.outputs.ids):
                above = int((logits > logits[other] + near).sum())
                equal = int((logits > logits[other] - near).sum())
                assert above < scores.rank[layer, head, i, j] <= equal, (layer, head, i, j)


def test_digits_behind_a_space_of_their_own_are_the_words() -> None:
    """This tokenizer writes “1 2” as space, digit, space, digit."""
    scores = engine.ov_scores("seq-llama", "numerals", k=5)
    digits, (*space, first) = scores.inputs, engine.tokenize("seq-llama", "3 1").ids[-2:]
    assert digits.space == tuple(space) and digits.ids[0] == first
    assert digits.places == tuple(range(9)) and digits.left_out[0] == "10"
    assert any("space before 1" in note for note in scores.notes)
    reference = FamilyReference("llama", BUNDLED / "seq-llama")
    begins = engine.tokenize("seq-llama", "").ids
    for i in (0, 8):
        layer_0 = ("resid_pre", 1)
        ids = (*begins, *space, digits.ids[i])
        stream = reference.values(ids, [layer_0])[layer_0][-1].flatten()
        logits = logits_of_head(reference, 5, 7, stream)
        assert logits[list(digits.ids)].argmax() == scores.rank[5, 7, i].argmin()
        top = logits[scores.top[5, 7, i].tolist()]
        assert torch.allclose(top, logits.topk(5).values, atol=1e-4 * float(logits.abs().max()))


def shifting(directory: Path, by: int, layer: int = 1, head: int = 1) -> str:
    """A model of paper and pencil: each token is an axis of its own, blocks add next to
    nothing, but one head moves a token's axis `by` places on."""
    width = 2 * VOCAB
    config = GPT2Config(
        vocab_size=VOCAB, n_embd=width, n_layer=2, n_head=2, n_positions=16, bos_token_id=1,
        eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    model: Any = GPT2LMHeadModel(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and ".h." in name:
                weight.mul_(0.02)  # next to nothing; nothing at all is no head
        model.transformer.wpe.weight.zero_()
        axes = torch.eye(VOCAB, width)
        model.transformer.wte.weight.copy_(axes)
        attention = model.transformer.h[layer].attn
        own = slice(head * VOCAB, (head + 1) * VOCAB)
        attention.c_attn.weight[:, 2 * width :][:VOCAB, own] = torch.eye(VOCAB)
        attention.c_proj.weight[own, :VOCAB] = torch.roll(torch.eye(VOCAB), by, 1)
    model.save_pretrained(directory)
    save_tokenizer(directory)
    return str(directory)


def test_a_head_that_shifts_by_one_is_a_successor_and_no_copier(tmp_path: Path) -> None:
    directory = shifting(tmp_path / "next", 1)
    scores = engine.ov_scores(directory, WORDS, k=1)
    assert scores.score(1)[1, 1] == 1 and scores.score(0)[1, 1] == 0
    assert scores.score(2)[1, 1] == 0 and scores.others(1)[1, 1] == 0
    assert scores.table(1)[0]["site"] == "1.1" and scores.table(1)[0]["n"] == len(WORDS) - 1
    assert abs(scores.copying[1, 1]) < 0.1  # the roots of unity add up to nothing
    rows = scores.words("1.1")
    assert [row["meant"] for row in rows] == WORDS[1:] and all(row["right"] for row in rows)
    assert [str(row["token1"]).strip() for row in rows] == WORDS[1:]
    copies = engine.ov_scores(shifting(tmp_path / "same", 0), WORDS, k=1)
    assert copies.score(0)[1, 1] == 1 and copies.score(1)[1, 1] == 0
    assert copies.copying[1, 1] == pytest.approx(1, abs=0.02)
    before = shifting(tmp_path / "before", -1, 0, 0)
    back = engine.ov_scores(before, WORDS, k=1, embedding="embedding")
    assert back.score(-1)[0, 0] == 1 and back.score(1)[0, 0] == 0


def test_words_of_one_list_give_those_of_another(tmp_path: Path) -> None:
    directory = shifting(tmp_path / "m", 20)
    scores = engine.ov_scores(directory, WORDS, [f"t{i + 20}" for i in range(4, 12)], k=1)
    assert scores.score(0)[1, 1] == 1 and scores.score(1)[1, 1] == 0
    with pytest.raises(engine.EngineError, match="No word has another"):
        scores.score(50)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
def test_random_weights_lie_within_chance(kind: str, tiny: Tiny) -> None:
    words = [f"t{i}" for i in range(1, 40)]
    scores = engine.ov_scores(str(tiny(kind)), words, k=5)
    assert scores.chance == pytest.approx(5 / scores.n_tokens)
    for by in (-2, 1, 2, 3):
        assert np.nanmax(scores.score(by)) < scores.above_chance(by)
        assert abs(np.nanmean(scores.score(by)) - scores.chance) < 0.04
    assert np.abs(scores.copying).max() < 0.9 and abs(scores.copying.mean()) < 0.4


def test_copying_is_the_share_of_the_eigenvalues_of_the_whole_map(tiny: Tiny) -> None:
    directory = str(tiny("gpt2"))
    scores = engine.ov_scores(directory, WORDS)
    model: Any = GPT2LMHeadModel.from_pretrained(directory)
    block, final = model.transformer.h[1], model.transformer.ln_f
    d_head, width = 8, 32
    centred = torch.eye(width) - 1 / width
    for head in (0, 3):
        own = slice(head * d_head, (head + 1) * d_head)
        value = block.attn.c_attn.weight[:, 2 * width :][:, own]
        whole = (
            model.transformer.wte.weight @ centred @ torch.diag(block.ln_1.weight) @ value
            @ block.attn.c_proj.weight[own] @ centred @ torch.diag(final.weight)
            @ model.lm_head.weight.T
        )  # fmt: skip
        roots = np.linalg.eigvals(whole.detach().double().numpy())
        meant = roots.real.sum() / np.abs(roots).sum()
        assert scores.copying[1, head] == pytest.approx(meant, abs=1e-3)


def test_words_that_are_several_tokens_are_left_out_and_said() -> None:
    scores = engine.ov_scores("seq-gpt2", "months", "ordinals")
    assert scores.outputs.left_out == ("first",)
    assert "1 of 20 words are several tokens" in scores.notes[0] and "first" in scores.notes[0]
    assert scores.n(1) == 12 and scores.n(0) == 11


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"inputs": "colours"}, "no list"),
        ({"inputs": ["a", "b"]}, "3 to 200 words"),
        ({"inputs": ["a", "b", "a"]}, "none of them twice"),
        ({"inputs": ["a", "b", " "]}, "not blank"),
        ({"outputs": "colours"}, "no list"),
        ({"k": 0}, "1 to 20"),
        ({"k": 2.5}, "whole"),
        ({"embedding": "layer 9"}, "layer 0"),
        ({"inputs": ["supercalifragilistic", "antidisestablishment", "floccinauci"]}, "splits 3"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_words(fields: Any, said: str) -> None:
    with pytest.raises(engine.EngineError, match=said):
        engine.ov_scores("seq-gpt2", **fields)
    scores = engine.ov_scores("seq-gpt2", "weekdays")
    for head in ("m1", "9.9", "n1.1"):
        with pytest.raises(engine.EngineError):
            scores.words(head)


def test_results_draw_and_tabulate_themselves() -> None:
    scores = engine.ov_scores("seq-gpt2", "weekdays")
    rows = scores.table(1)
    assert len(rows) == 48 and rows == sorted(rows, key=lambda row: -float(str(row["score"])))
    assert {row["n"] for row in rows} == {6}
    figure = scores.figure(1)
    assert "share of 6 words" in scores.grid(1).name and figure.data[0].zmax == 1.0
    parts = engine.begin(engine.ScoreOV("seq-gpt2", engine.WORD_LISTS["weekdays"]))
    last = parts.result()
    np.testing.assert_array_equal(last.rank, scores.rank)


@pytest.mark.parametrize(
    ("family", "lacks"), [("jamba", "no heads"), ("granitemoehybrid", "no heads and no MLP")]
)
def test_a_layer_0_that_is_no_common_one_is_told(
    family: str, lacks: str, member: Callable[[str], Path]
) -> None:
    directory = str(member(family))
    for scores in (engine.ov_scores(directory, WORDS), engine.qk_scores(directory, WORDS)):
        assert any(f"Layer 0 has {lacks} here" in note for note in scores.notes)
    bare = engine.ov_scores(directory, WORDS, embedding="embedding")
    assert not any("Layer 0" in note for note in bare.notes)
