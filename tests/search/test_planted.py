"""Circuits planted by hand in two models: every way to search finds them, and ranks them first."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

import engine
from tests.support.tiny_models import VOCAB, save_tokenizer

WIDTH, LAYERS, HEADS, N_POSITIONS = 4 * VOCAB, 3, 4, 16
EYE = torch.eye(VOCAB)
TOKEN, FIRST, SECOND = (slice(i * VOCAB, (i + 1) * VOCAB) for i in range(3))
"""Rooms of the stream: the token there, and so of what is unembedded; two to write into."""
PLANTED = {"induction": "0.1 1.2", "successor": "m0 1.3 m2"}


def own(head: int) -> slice:
    return slice(head * VOCAB, (head + 1) * VOCAB)


def induction(directory: Path) -> engine.Task:
    """Head 0.1 writes the token before; head 1.2 looks where that is the token here, and copies.
    Corrupted prompts have another token there, so that both heads do otherwise in them."""
    config = GPT2Config(
        vocab_size=VOCAB, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_positions=N_POSITIONS,
        bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    model: Any = GPT2LMHeadModel(config)
    place = slice(3 * VOCAB, 3 * VOCAB + N_POSITIONS)
    with torch.no_grad():
        model.transformer.wte.weight.copy_(torch.eye(VOCAB, WIDTH))
        model.transformer.wpe.weight.zero_()
        model.transformer.wpe.weight[:, place] = torch.eye(N_POSITIONS)
        before, copies = (model.transformer.h[layer].attn for layer in (0, 1))
        q, k, v = before.c_attn.weight.split(WIDTH, 1)
        for part in (q, k, v):
            part[:, own(1)] = 0.0
        q[place, own(1)][1:, : N_POSITIONS - 1] = torch.eye(N_POSITIONS - 1)
        k[place, own(1)][:, :N_POSITIONS] = torch.eye(N_POSITIONS)
        v[TOKEN, own(1)] = EYE / 8
        before.c_proj.weight[own(1)] = 0.0
        before.c_proj.weight[own(1), FIRST] = EYE
        q, k, v = copies.c_attn.weight.split(WIDTH, 1)
        for part in (q, k, v):
            part[:, own(2)] = 0.0
        q[TOKEN, own(2)] = EYE
        k[FIRST, own(2)] = EYE
        v[TOKEN, own(2)] = EYE / 4
        copies.c_proj.weight[own(2)] = 0.0
        copies.c_proj.weight[own(2), TOKEN] = EYE
    model.save_pretrained(directory)
    save_tokenizer(directory)
    rng = Random(0)
    pairs = []
    for _ in range(12):
        a, b, c, d, other = (f"t{i}" for i in rng.sample(range(60), 5))
        pairs.append(engine.Pair(f"{c} {a} {b} {d} {a}", f"{c} {other} {b} {d} {a}", b, d))
    return engine.Task("induction", tuple(pairs))


def successor(directory: Path) -> engine.Task:
    """MLP 0 writes what follows an item; head 1.3 brings it to the mark; MLP 2 says it."""
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        num_key_value_heads=HEADS, intermediate_size=VOCAB, max_position_embeddings=64,
        bos_token_id=1, eos_token_id=2, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(1)
    model: Any = LlamaForCausalLM(config)
    items, mark = slice(3, 23), 53  # t0 to t19, and t50, behind three special tokens
    follows = torch.zeros(VOCAB, VOCAB)
    follows[torch.arange(4, 24), torch.arange(3, 23)] = 1.0
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(VOCAB, WIDTH))
        first, last = (model.model.layers[layer].mlp for layer in (0, 2))
        for mlp, room, into, what in (
            (first, TOKEN, FIRST, follows),
            (last, SECOND, TOKEN, EYE),
        ):
            for part in (mlp.gate_proj, mlp.up_proj):
                part.weight.zero_()
                part.weight[:, room] = EYE / 8
            mlp.down_proj.weight.zero_()
            mlp.down_proj.weight[into] = what
        brings = model.model.layers[1].self_attn
        for part in (brings.q_proj, brings.k_proj, brings.v_proj):
            part.weight[own(3)] = 0.0
        slow = own(3).stop - 1  # a direction that is hardly turned by the distance
        brings.q_proj.weight[slow, mark] = 2.0
        brings.k_proj.weight[slow, items] = 2.0
        brings.v_proj.weight[own(3), FIRST] = EYE / 4
        brings.o_proj.weight[:, own(3)] = 0.0
        brings.o_proj.weight[SECOND, own(3)] = EYE
    model.save_pretrained(directory)
    save_tokenizer(directory)
    rng = Random(0)
    pairs = []
    for _ in range(12):
        item, other, wrong = rng.sample(range(19), 3)
        rest = [f"t{i}" for i in rng.sample(range(25, 50), 3)]
        at = rng.randrange(4)
        clean, corrupted = (" ".join([*rest[:at], f"t{i}", *rest[at:], "t50"])
                            for i in (item, other))  # fmt: skip
        pairs.append(engine.Pair(clean, corrupted, f"t{item + 1}", f"t{wrong + 1}"))
    return engine.Task("successor", tuple(pairs))


@pytest.fixture(scope="module", params=PLANTED)
def planted(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The model's directory, its task, and the nodes that are planted."""
    directory = tmp_path_factory.mktemp(request.param)
    task = {"induction": induction, "successor": successor}[request.param](directory)
    return str(directory), task, engine.parse_sites(PLANTED[request.param])


def auroc(numbers: dict[engine.Site, float], meant: tuple[engine.Site, ...]) -> float:
    """How often a node that is planted has a greater number than one that is not."""
    ours = np.array([number for site, number in numbers.items() if site in meant])
    others = np.array([number for site, number in numbers.items() if site not in meant])
    above = (ours[:, None] > others).mean() + 0.5 * (ours[:, None] == others).mean()
    return float(above)


@pytest.mark.parametrize("by", engine.STRATEGIES)
def test_every_search_finds_the_planted_circuit(by: str, planted: Any) -> None:
    directory, task, meant = planted
    found = engine.discover(task, directory, by=by, controls=0)
    assert set(found.circuit.sites) == set(meant)
    assert len(found.importance) == LAYERS * (HEADS + 1)
    assert auroc(found.importance, meant) >= 0.95
    assert found.loss < 0.2


def test_what_corrupting_leaves_alike_is_missed_by_gradients_and_not_by_ablation(
    tmp_path: Path,
) -> None:
    """Only the last token is another: what 0.1 writes is the same, and all rests on it."""
    pairs = []
    for pair in induction(tmp_path).pairs:
        *start, _ = pair.prompt.split()
        corrupted = " ".join([*start, pair.corrupted.split()[1]])
        pairs.append(engine.Pair(pair.prompt, corrupted, pair.answer, pair.distractor))
    e = engine.Experiment(str(tmp_path))
    estimated = np.abs(engine.node_attribution(e, pairs).heads.mean(axis=0))
    exact = engine.sweep(e, pairs, at="answer").grid().heads
    assert estimated[0, 1] < 1e-3 * estimated[1, 2]
    assert exact[0, 1] < 0.9 * exact.min() < 0
