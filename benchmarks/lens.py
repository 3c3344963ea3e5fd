"""The logit lens at GPT-2-small's shape and 64 tokens: every layer and position, with the five best
tokens, their moves, entropy, divergence, and the answer's rank, as the page asks for them: of a new
prompt, after a toggle (the clean run is kept), and of a new prompt with a head already ablated,
which is two lenses at once.

The rival is how notebooks do it: the Hugging Face model's hidden states through its final norm and
unembedding, all at once, then the five best; clean only. Weights are random: speed does not depend
on them.
"""

from __future__ import annotations

import random
import tempfile
from functools import partial
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

import engine
from benchmarks.memory import peak
from benchmarks.timing import percentile, seconds, told
from benchmarks.toggle import save_gpt2_small

TOKENS = 64
ROUNDS = 20


def measure() -> None:
    """Print both, in turn, for a head of any layer and for the worst case, and their memory."""
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        save_gpt2_small(Path(folder))
        plain = AutoModelForCausalLM.from_pretrained(folder).eval()
        shape = engine.load(folder).shape

        def experiment(ablations: str, prompt: str = "") -> engine.Experiment:
            prompt = prompt or " ".join(str(rng.randrange(10)) for _ in range(TOKENS))
            assert len(engine.tokenize(folder, prompt)) == TOKENS
            return engine.Experiment(
                folder, prompt, answer=" 5", distractor=" 4", ablations=ablations
            )

        def lens(e: engine.Experiment) -> float:
            return seconds(lambda: engine.logit_lens(e, at="answer"))

        def notebook(e: engine.Experiment) -> torch.Tensor:
            ids = torch.tensor([engine.tokenize(e.model, e.prompt).ids])
            with torch.no_grad():
                states = plain(ids, output_hidden_states=True, use_cache=False).hidden_states
                norm, unembed = plain.transformer.ln_f, plain.lm_head
                rows = [unembed(norm(state)) for state in states[1:-1]] + [unembed(states[-1])]
                return torch.stack(rows).softmax(-1).topk(5).values

        e = experiment("0.1")
        memory = peak(lambda: engine.logit_lens(e, at="answer")), peak(lambda: notebook(e))
        looks, toggles, worst, links, rival = [], [], [], [], []
        for i in range(ROUNDS + 1):
            clean = experiment("")
            one, two = lens(clean), seconds(partial(notebook, clean))
            any_layer = f"{rng.randrange(shape.n_layers)}.1"
            three = lens(experiment(any_layer, clean.prompt))
            four = lens(experiment("0.1", clean.prompt))
            five = lens(experiment(any_layer))
            if i:
                looks.append(one)
                rival.append(two)
                toggles.append(three)
                worst.append(four)
                links.append(five)
        print(f"GPT-2-small's shape, {TOKENS} tokens, {shape.n_layers} layers:")
        print(told("  a new prompt, nothing ablated", looks))
        print(told("  hidden states through the unembedding (rival)", rival))
        print(told("  one toggle of any head, clean run kept", toggles))
        print(told("  one toggle of a head of layer 0, the worst", worst))
        print(told("  a new prompt with any head already ablated", links))
        ratios = [ours / theirs for ours, theirs in zip(looks, rival, strict=True)]
        print(f"  a new prompt beside the rival, pair by pair: median {percentile(ratios, 50):.2f}")
        slowest = max(percentile(values, 95) for values in (looks, toggles, worst))
        print(f"  p95 of a look or a toggle {slowest:.2f} s (at most 1 s is claimed)")
        print(f"  memory at most {memory[0]} over the model, by the rival {memory[1]}")
