"""Training one bundled model: seeded, on one thread, with a progress bar."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import torch
from tqdm import tqdm
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from training.corpus import held_out, lines
from training.tokenizing import CONTEXT, save_gpt2_tokenizer, save_llama_tokenizer

SEED = 2026
STEPS = {"seq-gpt2": 14_000, "seq-llama": 14_000}
RATE = 1.5e-3
"""The learning rate's peak."""
TOKENS_A_BATCH = 1024
_TOKENIZER_LINES = 20_000


def new_model(name: str, vocab_size: int, bos: int, eos: int) -> PreTrainedModel:
    """An untrained model of either architecture, six layers of eight heads."""
    torch.manual_seed(SEED)
    if name == "seq-gpt2":
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=vocab_size,
                n_positions=CONTEXT,
                n_embd=160,
                n_layer=6,
                n_head=8,
                resid_pdrop=0.0,
                embd_pdrop=0.0,
                attn_pdrop=0.0,
                bos_token_id=bos,
                eos_token_id=eos,
            )
        )
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab_size,
            max_position_embeddings=CONTEXT,
            hidden_size=160,
            intermediate_size=432,
            num_hidden_layers=6,
            num_attention_heads=8,
            num_key_value_heads=4,
            tie_word_embeddings=True,
            bos_token_id=bos,
            eos_token_id=eos,
        )
    )


def batches(tokenizer: Any, seed: int) -> Iterator[torch.Tensor]:
    """Padded batches [rows pos] of lines of like length, each line alone in its row; −100 pads."""
    stream, rng = lines(seed, held_out()), Random(seed)
    while True:
        pool = list(islice(stream, 2048))
        ids = tokenizer([line.text for line in pool]).input_ids
        rows = sorted(
            (
                [*row, tokenizer.eos_token_id] if line.ends else row
                for row, line in zip(ids, pool, strict=True)
                if len(row) < CONTEXT
            ),
            key=len,
        )
        cut: list[list[list[int]]] = [[]]
        for row in rows:
            if len(row) * (len(cut[-1]) + 1) > TOKENS_A_BATCH:
                cut.append([])
            cut[-1].append(row)
        rng.shuffle(cut)
        for batch in cut:
            longest = max(map(len, batch))
            yield torch.tensor([row + [-100] * (longest - len(row)) for row in batch])


def fit(model: PreTrainedModel, data: Iterator[torch.Tensor], steps: int, bar: Any) -> list[float]:
    """Train in place. Returns: each step's loss, nats a token."""
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}],
        lr=RATE,
        betas=(0.9, 0.98),
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=steps, pct_start=0.05, anneal_strategy="cos"
    )
    losses = []
    model.train()
    for _ in range(steps):
        labels = next(data)
        loss = model(input_ids=labels.clamp(min=0), labels=labels).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        bar.update()
        if len(losses) % 50 == 0:
            bar.set_postfix(loss=f"{sum(losses[-50:]) / 50:.3f}")
    model.eval()
    return losses


def train(name: str, target: Path) -> dict[str, Any]:
    """Make one model in a directory, tokenizer and all. Returns: the facts of its training."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    work = target.with_name(target.name + ".new")
    shutil.rmtree(work, ignore_errors=True)
    sample = [line.text for line in islice(lines(SEED - 1, held_out()), _TOKENIZER_LINES)]
    (save_gpt2_tokenizer if name == "seq-gpt2" else save_llama_tokenizer)(sample, work)
    tokenizer = AutoTokenizer.from_pretrained(work) if name == "seq-gpt2" else _llama(work)
    model = new_model(name, len(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id)
    with tqdm(total=STEPS[name], desc=name, position=int(name == "seq-llama")) as bar:
        losses = fit(model, batches(tokenizer, SEED), STEPS[name], bar)
    model.save_pretrained(work)
    facts = {
        "steps": STEPS[name],
        "tokens_a_batch": TOKENS_A_BATCH,
        "seed": SEED,
        "parameters": sum(p.numel() for p in model.parameters()),
        "final_loss": round(sum(losses[-100:]) / len(losses[-100:]), 4),
        "minutes": round((time.perf_counter() - start) / 60, 1),
    }
    (work / "card.json").write_text(json.dumps({"training": facts}, indent=1) + "\n", "utf-8")
    shutil.rmtree(target, ignore_errors=True)
    work.rename(target)
    return facts


def _llama(directory: Path) -> Any:
    """AutoTokenizer chooses by the model's config, which is not there yet."""
    (directory / "config.json").write_text('{"model_type": "llama"}', "utf-8")
    return AutoTokenizer.from_pretrained(directory)
