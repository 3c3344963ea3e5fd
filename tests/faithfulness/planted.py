"""Two small models with a circuit made by hand among weights that do nothing to the purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

import engine
from tests.support.tiny_models import VOCAB, save_tokenizer

WIDTH, D_HEAD, POSITIONS = 4 * VOCAB, VOCAB, 16
TOKENS, ROOM, PLACES = 0, VOCAB, 2 * VOCAB
"""Where the stream says which token this is, what a head has brought, and which position."""


@dataclass(frozen=True)
class Planted:
    """Where the model is, pairs it does, and what it was given to do them with."""

    directory: str
    task: engine.Task
    nodes: frozenset[str]
    edges: frozenset[str]


def _one_to_one(n: int, offset: int = 0) -> Tensor:
    """[n n]: each to the one `offset` behind it."""
    return torch.eye(n).roll(offset, 1)


def _head(block: Any, head: int, **wires: tuple[int, Tensor, float]) -> None:
    """Wire a head: q, k and v from a place of the stream, o into one; each by a matrix, times so
    much, and by nothing else."""
    attention, own = block.attn, head * D_HEAD
    for i, part in enumerate("qkv"):
        at, matrix, gain = wires[part]
        into = i * WIDTH + own
        attention.c_attn.weight[:, into : into + D_HEAD] = 0
        n, m = matrix.shape
        attention.c_attn.weight[at : at + n, into : into + m] = gain * matrix
    at, matrix, gain = wires["o"]
    attention.c_proj.weight[own : own + D_HEAD] = 0
    attention.c_proj.weight[own : own + len(matrix), at : at + matrix.shape[1]] = gain * matrix


def _save(directory: Path, wire: Callable[[Any], None]) -> str:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCAB, n_embd=WIDTH, n_layer=3, n_head=4, n_positions=POSITIONS, bos_token_id=1,
        eos_token_id=2,
    )  # fmt: skip
    model: Any = GPT2LMHeadModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.copy_(0.02 * torch.randn_like(parameter))
            elif name.endswith("bias"):
                parameter.zero_()
        model.transformer.wte.weight.copy_(torch.eye(VOCAB, WIDTH))
        places = torch.zeros(POSITIONS, WIDTH)
        places[:, PLACES : PLACES + POSITIONS] = torch.eye(POSITIONS)
        model.transformer.wpe.weight.copy_(places)
        wire(model.transformer.h)
    model.save_pretrained(directory)
    save_tokenizer(directory)
    return str(directory)


def induction(directory: Path) -> Planted:
    """0.1 writes at each token which one was before it; 1.2 looks for a token whose one before is
    this one, and says that it comes next."""

    def wire(blocks: Any) -> None:
        same, before = _one_to_one(VOCAB), _one_to_one(POSITIONS, -1)
        places = _one_to_one(POSITIONS)
        _head(blocks[0], 1, q=(PLACES, before, 2), k=(PLACES, places, 2), v=(TOKENS, same, 0.2),
              o=(ROOM, same, 1))  # fmt: skip
        _head(blocks[1], 2, q=(TOKENS, same, 2), k=(ROOM, same, 2), v=(TOKENS, same, 0.2),
              o=(TOKENS, same, 1))  # fmt: skip

    rng, pairs = Random(0), []
    for _ in range(8):
        first, answer, another, other, corrupted = rng.sample(range(2, 60), 5)
        rest = f"t{answer} t{another} t{other} t{first}"
        pairs.append(engine.Pair(f"t{first} {rest}", f"t{corrupted} {rest}", f" t{answer}",
                                 f" t{other}"))  # fmt: skip
    return Planted(
        _save(directory, wire), engine.Task("induction", tuple(pairs)),
        frozenset({"0.1", "1.2"}),
        frozenset({"r0->0.1.v", "0.1->1.2.k", "1.2->logits"}),
    )  # fmt: skip


def successor(directory: Path) -> Planted:
    """0.3 brings the first token to every later one; m1 says the next in the list after it."""

    def wire(blocks: Any) -> None:
        same, places = _one_to_one(VOCAB), _one_to_one(POSITIONS)
        to_first = torch.zeros(POSITIONS, POSITIONS)
        to_first[:, 1] = 1.0  # behind BOS
        _head(blocks[0], 3, q=(PLACES, to_first, 2), k=(PLACES, places, 2), v=(TOKENS, same, 0.2),
              o=(ROOM, same, 1))  # fmt: skip
        mlp = blocks[1].mlp
        mlp.c_fc.weight[:, :VOCAB] = 0
        mlp.c_fc.weight[ROOM : ROOM + VOCAB, :VOCAB] = same
        mlp.c_proj.weight[:VOCAB] = 0
        mlp.c_proj.weight[:VOCAB, TOKENS : TOKENS + VOCAB] = 0.3 * _one_to_one(VOCAB, 1)

    rng, pairs = Random(1), []
    for _ in range(8):
        first, corrupted, a, b = rng.sample(range(2, 58, 2), 4)
        pairs.append(engine.Pair(f"t{first} t{a} t{b}", f"t{corrupted} t{a} t{b}",
                                 f" t{first + 1}", f" t{b + 1}"))  # fmt: skip
    return Planted(
        _save(directory, wire), engine.Task("successor", tuple(pairs)),
        frozenset({"0.3", "m1"}),
        frozenset({"r0->0.3.v", "0.3->m1", "m1->logits"}),
    )  # fmt: skip


PLANTED = {"induction": induction, "successor": successor}
