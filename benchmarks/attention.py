"""Every head's pattern at GPT-2-small's shape and 64 tokens: thumbnails and scores as the Attention
page asks for them, with a head ablated and its clean twin.

The rival is how notebooks do it: one forward pass of the Hugging Face model with its attentions,
clean only, then CircuitsVis' HTML for each layer. Weights are random: speed does not depend on
them. Both are new to each prompt; neither includes the browser's drawing.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import torch
from circuitsvis.attention import attention_heads
from transformers import AutoModelForCausalLM

import engine
from benchmarks.timing import percentile, seconds, told
from benchmarks.toggle import save_gpt2_small

TOKENS = 64
ROUNDS = 8


def measure() -> None:
    """Print both, in turn, with what each would send to a browser."""
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        save_gpt2_small(Path(folder))
        plain = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
        engine.load(folder)
        ours, rival, sizes = [], [], (0, 0)
        for i in range(ROUNDS + 1):
            prompt = " ".join(str(rng.randrange(10)) for _ in range(TOKENS))
            tokens = engine.tokenize(folder, prompt)
            assert len(tokens) == TOKENS
            e = engine.Experiment(folder, prompt, ablations="0.1")

            def notebook(tokens: engine.Tokens = tokens) -> int:
                with torch.no_grad():
                    out = plain(torch.tensor([tokens.ids]), output_attentions=True, use_cache=False)
                pages = [attention_heads(a[0], list(tokens.pieces)) for a in out.attentions]
                return sum(len(page.local_src) for page in pages)

            one = seconds(lambda e=e: engine.attention_overview(e))
            two = seconds(notebook)
            sizes = (engine.attention_overview(e).clean.shade.nbytes, notebook())
            if i:
                ours.append(one)
                rival.append(two)
    print(f"GPT-2-small's shape, {TOKENS} tokens, all 144 patterns:")
    print(told("  overview and scores, clean and ablated", ours))
    print(told("  output_attentions and CircuitsVis, clean only", rival))
    print(f"  sent for one run: {sizes[0] / 1e6:.1f} MB, by the rival {sizes[1] / 1e6:.1f} MB")
    print(f"  p95 {percentile(ours, 95):.2f} s (at most 2 s is claimed)")
