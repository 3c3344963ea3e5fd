"""A model made by hand whose answer turns on one axis of its stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests.support.tiny_models import VOCAB, save_tokenizer

WIDTH = 2 * VOCAB + 4
AXIS = torch.zeros(WIDTH)
"""What head 1.2 writes along, of length 1, and what unembeds as t7 rather than t8."""
AXIS[-4], AXIS[-3] = 0.5**0.5, -(0.5**0.5)


def turning_model(directory: Path, says: tuple[int, int] = (7, 8)) -> str:
    """Two layers in which each token has an axis of its own, all without a mean that a norm could
    take off. Head 1.2 looks at every token alike and writes its share of t1, less that of t2, along
    AXIS; along it t7 is read, and t8 against it, or what it `says`. The rest is next to nothing."""
    torch.manual_seed(0)
    d_head = WIDTH // 4
    config = GPT2Config(
        vocab_size=VOCAB, n_embd=WIDTH, n_layer=2, n_head=4, n_positions=16, bos_token_id=1,
        eos_token_id=2, tie_word_embeddings=False,
    )  # fmt: skip
    model: Any = GPT2LMHeadModel(config)
    up, down, t7, t8 = (3 + i for i in (1, 2, *says))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "ln" not in name:
                parameter.copy_(2e-4 * torch.randn_like(parameter))
        tokens = torch.eye(VOCAB, WIDTH)
        model.transformer.wte.weight.copy_(tokens - tokens.roll(VOCAB, 1))
        attention = model.transformer.h[1].attn
        value = 2 * WIDTH + 2 * d_head
        attention.c_attn.weight[up, value], attention.c_attn.weight[down, value] = 1.0, -1.0
        attention.c_proj.weight[2 * d_head] = AXIS
        model.lm_head.weight[t7], model.lm_head.weight[t8] = AXIS, -AXIS
    model.save_pretrained(directory)
    save_tokenizer(directory)
    return str(directory)
