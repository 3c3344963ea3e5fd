"""An induction pair made by hand, of paper and pencil."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests.support.tiny_models import VOCAB, save_tokenizer


def induction_pair(directory: Path) -> str:
    """A model whose head 0.1 writes the token it looks at into a room of its own, and whose head
    1.2 looks for its own token there; each token is an axis, the rest is next to nothing."""
    torch.manual_seed(0)
    width, d_head = 4 * VOCAB, VOCAB
    config = GPT2Config(
        vocab_size=VOCAB, n_embd=width, n_layer=2, n_head=4, n_positions=16, bos_token_id=1,
        eos_token_id=2,
    )  # fmt: skip
    model: Any = GPT2LMHeadModel(config)
    with torch.no_grad():
        model.transformer.wte.weight.copy_(torch.eye(VOCAB, width))
        first, second = (block.attn for block in model.transformer.h)
        value, out = 2 * width + d_head, d_head
        first.c_attn.weight[:VOCAB, value : value + d_head] = torch.eye(VOCAB)
        first.c_proj.weight[out : out + d_head, VOCAB : 2 * VOCAB] = torch.eye(VOCAB)
        query, key = 2 * d_head, width + 2 * d_head
        second.c_attn.weight[:VOCAB, query : query + d_head] = torch.eye(VOCAB)
        second.c_attn.weight[VOCAB : 2 * VOCAB, key : key + d_head] = torch.eye(VOCAB)
    model.save_pretrained(directory)
    save_tokenizer(directory)
    return str(directory)
