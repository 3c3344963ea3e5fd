"""Checkpoints people met trouble with elsewhere: each is ranked, read, swept and continued as its
own Hugging Face model, through plain hooks, has it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import engine
from tests.support.family_reference import Change, FamilyReference

MEMBERS = (
    "gpt2, scores unscaled",
    "gemma3_text, scores capped",
    "mpt",
    "granite",
    "gpt_oss",
    "falcon, new layout",
    "codegen",
    "gpt_neox, no attention bias",
    "gpt_bigcode",
    "xglm",
    "bloom",
    "olmo2",
    "jamba",
    "qwen3_next",
)
PROMPT = "t1 t5 t9 t2 t7 t5"


@pytest.fixture(scope="module")
def saved(member: Callable[[str], Path]) -> Any:
    @functools.cache
    def give(name: str) -> tuple[str, FamilyReference]:
        directory = member(name)
        return str(directory), FamilyReference(name, directory)

    return give


def zeroed(place: str, layer: int, index: tuple[int, ...] | None, n: int) -> Change:
    return Change(place, layer, index, tuple(range(n)), torch.zeros_like)


def close(found: Any, meant: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(meant), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", MEMBERS)
def test_rankings_lens_and_attention_are_the_models_own(name: str, saved: Any) -> None:
    directory, reference = saved(name)
    e = engine.Experiment(directory, PROMPT, ablations="1.2 m1")
    found = engine.next_token(e)
    ids = found.tokens.ids
    off = [zeroed("z", 1, (2,), len(ids)), zeroed("mlp_out", 1, None, len(ids))]
    clean, ablated = reference.logits(ids)[-1], reference.logits(ids, off)[-1]
    close(found.clean.logits, clean[found.clean.ids.tolist()])
    close(found.ablated.logits, ablated[found.ablated.ids.tolist()])
    lens = engine.logit_lens(e, k=1)
    assert lens.clean.ids[-1, -1, 0] == int(clean.argmax())
    assert lens.ablated.ids[-1, -1, 0] == int(ablated.argmax())
    pattern = engine.attention(e).clean.pattern[1]
    theirs = reference.values(ids, [("pattern", 1)])["pattern", 1]
    close(pattern, theirs.transpose(0, 1))


@pytest.mark.parametrize("name", MEMBERS)
def test_a_sweep_ablates_every_site_there_is(name: str, saved: Any) -> None:
    directory, reference = saved(name)
    e = engine.Experiment(directory, PROMPT, answer=" t3", distractor=" t8")
    swept = engine.sweep(e, estimate=True)
    shape = engine.load(directory).shape
    ids = engine.tokenize(directory, PROMPT).ids
    answer, distractor = engine.tokenize(directory, PROMPT + " t3 t8").ids[-2:]
    for layer in range(shape.n_layers):
        for head in range(shape.n_heads):
            found = swept.heads[layer, head]
            if layer in shape.without_heads:
                assert np.isnan(found)
                continue
            logits = reference.logits(ids, [zeroed("z", layer, (head,), len(ids))])[-1]
            close(found, logits[answer] - logits[distractor])
        if layer not in shape.without_mlp:
            logits = reference.logits(ids, [zeroed("mlp_out", layer, None, len(ids))])[-1]
            close(swept.mlps[layer], logits[answer] - logits[distractor])


@pytest.mark.parametrize("name", MEMBERS)
def test_generation_is_the_uncached_loop(name: str, saved: Any) -> None:
    directory, reference = saved(name)
    steps = engine.generate(engine.Experiment(directory, PROMPT, ablations="1.2"), 4)
    ids = [list(steps.prompt.ids)] * 2
    for step in steps:
        for run, own in enumerate((step.clean, step.ablated)):
            if own is None:
                continue
            off = [zeroed("z", 1, (2,), len(ids[run]))] if run else []
            logits = reference.logits(ids[run], off)[-1]
            close(own.top.logits, logits[own.top.ids.tolist()])
            ids[run] = [*ids[run], own.token_id]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["olmo2", "llama", "gemma2", "gpt_neox"])
def test_half_precision_loads_and_is_certified(name: str, dtype: str, saved: Any) -> None:
    directory, reference = saved(name)
    model = engine.load(directory, dtype=dtype)
    assert model.certificate.dtype == dtype and model.certificate.refused == ()
    found = engine.next_token(engine.Experiment(directory, PROMPT))
    meant = reference.logits(found.tokens.ids)[-1][found.clean.ids.tolist()]
    np.testing.assert_allclose(found.clean.logits, meant.numpy(), atol=0.3, rtol=0.05)
    engine.release(directory)
