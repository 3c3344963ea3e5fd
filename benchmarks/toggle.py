"""What one toggle costs at GPT-2-small's shape: an ablated next-token ranking, beside one plain
forward pass of the Hugging Face model on the same tokens, in turn. Weights are random: speed does
not depend on them. The clean run is kept from the first look, as on the page."""

from __future__ import annotations

import random
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

import engine
from benchmarks.timing import percentile, seconds, told
from engine.model.checkpoints import BUNDLED

TOKENS = 10
ROUNDS = 60


def save_gpt2_small(directory: Path) -> None:
    """Write a model of GPT-2-small's shape with random weights, and a tokenizer that fits in it."""
    save_gpt2(directory)


def save_gpt2(directory: Path, **shape: Any) -> None:
    """The same of another shape, in the words of GPT2Config."""
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(**shape)).save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BUNDLED / "seq-gpt2" / name, directory)


def measure() -> None:
    """Print the toggle's cost, the plain pass's, and their ratio pair by pair."""
    with tempfile.TemporaryDirectory() as folder:
        save_gpt2_small(Path(folder))
        beside_a_pass("GPT-2-small's shape", folder, claimed=1.15)
        engine.release(folder)


def beside_a_pass(named: str, folder: str, claimed: float) -> None:
    """The same for a model in a directory, whose ratio of any head is claimed to be at most that,
    and of the first layer, behind which all is done anew, about a pass."""
    plain = AutoModelForCausalLM.from_pretrained(folder).eval()
    prompt = " ".join(str(n) for n in range(1, TOKENS + 1))
    ids = torch.tensor([engine.tokenize(folder, prompt).ids])
    shape = engine.load(folder).shape
    rng = random.Random(0)
    sites = [
        f"{rng.randrange(shape.n_layers)}.{rng.randrange(shape.n_heads)}" for _ in range(ROUNDS)
    ]
    worst = [f"0.{i % shape.n_heads}" for i in range(ROUNDS // 2)]
    for title, chosen, most in (
        ("any head", sites, claimed),
        ("a head of layer 0, the worst case", worst, 1.15),
    ):
        toggles, passes = [], []
        for i, site in enumerate(["6.0", *chosen]):
            e = engine.Experiment(folder, prompt, answer=" 11", distractor=" 10", ablations=site)
            with torch.no_grad():
                one = seconds(lambda: plain(input_ids=ids, use_cache=False))
            two = seconds(partial(engine.next_token, e, k=10))
            if i:
                passes.append(one)
                toggles.append(two)
        ratios = [a / b for a, b in zip(toggles, passes, strict=True)]
        print(f"{named}, {ids.shape[1]} tokens, {title}:")
        print(told("  one toggle", toggles))
        print(told("  one plain forward pass (transformers, SDPA)", passes))
        print(f"  ratio, pair by pair: median {percentile(ratios, 50):.2f}, claimed at most {most}")
