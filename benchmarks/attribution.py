"""Direct logit attribution of every head and MLP at GPT-2-small's shape, of new prompts, beside
a plain forward pass of the Hugging Face model over the same tokens, in turns.

Weights are random: speed does not depend on them.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

import engine
from benchmarks.timing import percentile, seconds
from benchmarks.toggle import save_gpt2_small

ROUNDS, TOKENS, CLAIMED = 30, 31, 1.5


def measure() -> None:
    """Print both medians and their ratio, round by round."""
    with tempfile.TemporaryDirectory() as folder:
        save_gpt2_small(Path(folder))
        engine.load(folder)
        plain = AutoModelForCausalLM.from_pretrained(folder).eval()
        rng = random.Random(0)
        ours, theirs = [], []
        for i in range(ROUNDS + 3):  # the first warm up
            prompt = " ".join(str(rng.randrange(10)) for _ in range(TOKENS))
            e = engine.Experiment(folder, prompt, answer=" 5", distractor=" 4")
            ids = torch.tensor([engine.tokenize(folder, prompt).ids])

            def forward(ids: torch.Tensor = ids) -> None:
                with torch.no_grad():
                    plain(ids, use_cache=False)

            def attribute(e: engine.Experiment = e) -> None:
                engine.direct_attribution(e)

            both = (seconds(attribute), seconds(forward))
            if i >= 3:
                ours.append(both[0])
                theirs.append(both[1])
        engine.release(folder)
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    print(f"GPT-2-small's shape, 156 heads and MLPs, new prompts of {TOKENS} tokens:")
    print(f"  direct attribution  median {1e3 * percentile(ours, 50):6.1f} ms   n {ROUNDS}")
    print(f"  a plain pass        median {1e3 * percentile(theirs, 50):6.1f} ms   n {ROUNDS}")
    print(
        f"  {percentile(ratios, 50):.2f} of a plain pass, round by round (at most {CLAIMED} is "
        "claimed)"
    )
