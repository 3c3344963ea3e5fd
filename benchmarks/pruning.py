"""What a candidate of iterative pruning costs, in plain forward passes over the same prompts, at
GPT-2-small's shape: ours, and the way the published search does it (Lan, Torr & Barez 2023): for
every candidate it takes its means anew and then runs the whole ablated model, over
TransformerBridge.

Weights are random: speed does not depend on them. Each pair's answer and distractor are the two
numerals the model ranks highest, so that there is a score to be kept. The rival is timed on a few
candidates, plain passes between any two.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

import engine
from benchmarks.rival import bridge_of
from benchmarks.timing import percentile, seconds
from benchmarks.toggle import save_gpt2_small
from engine.model.model import Model

PAIRS, TOKENS, THRESHOLD = 12, 12, 0.2
_RIVALS = 6
_NUMERALS = {f"Ġ{n}": f" {n}" for n in range(100)}


def measure() -> None:
    """Print the cost of a candidate, ours and the rival's, and how the search went."""
    with tempfile.TemporaryDirectory() as folder:
        save_gpt2_small(Path(folder))
        plain = AutoModelForCausalLM.from_pretrained(folder).eval()
        task = better_of_two(folder)
        ids, corrupted = (
            torch.tensor([engine.tokenize(folder, text).ids for text in texts])
            for texts in zip(*((p.prompt, p.corrupted) for p in task.pairs), strict=True)
        )
        search = engine.Search(folder, task, threshold=THRESHOLD)
        model = engine.load(folder)
        ratios = []
        for found in (_searched(search) for _ in range(3)):
            with torch.no_grad():
                passes = [seconds(lambda: plain(input_ids=ids, use_cache=False)) for _ in range(9)]
            a_pass = percentile(passes, 50)
            ratios.append(found.seconds / len(found.trials) / a_pass)
        rivals = _rivals(model, plain, ids, corrupted)
        shape = model.shape
        print(
            f"GPT-2-small's shape, {PAIRS} pairs of {TOKENS} tokens, "
            f"{shape.n_layers * (shape.n_heads + 1)} heads and MLPs, pruned to a fixed point:"
        )
        print(
            f"  {len(found.trials)} candidates in {found.walk} walks, {found.seconds:.1f} s; "
            f"{len(found.circuit.heads)} heads and {len(found.circuit.mlps)} MLPs are kept"
        )
        print(f"  one plain forward pass (transformers, SDPA) {1000 * a_pass:.0f} ms")
        print(
            f"  a candidate: {percentile(ratios, 50):.2f} passes, of three searches at most "
            f"{max(ratios):.2f} (at most 0.6 is claimed)"
        )
        print(f"  the published way: {percentile(rivals, 50):.2f} passes, n {len(rivals)}")
        engine.release(folder)


def _searched(search: engine.Search) -> engine.Discovery:
    """The search itself, without the controls that follow it."""
    last = None
    for found in engine.begin(engine.Discover(search, controls=0)):
        if not found.done:
            last = found
    assert last is not None
    return last


def better_of_two(folder: str, n: int = PAIRS) -> engine.Task:
    """Pairs of prompts of digits; answer and distractor are the model's two best numerals."""
    rng = random.Random(0)

    def prompt() -> str:
        return " ".join(str(rng.randrange(10)) for _ in range(TOKENS))

    pairs = []
    for _ in range(n):
        text = prompt()
        ranked = engine.next_token(engine.Experiment(folder, text)).clean.tokens
        first, second = [_NUMERALS[token] for token in ranked if token in _NUMERALS][:2]
        pairs.append(engine.Pair(text, prompt(), first, second))
    return engine.Task("better of two", tuple(pairs))


def _rivals(
    model: Model, plain: torch.nn.Module, ids: torch.Tensor, corrupted: torch.Tensor
) -> list[float]:
    """Candidates of the published search, each in plain passes timed beside it."""
    bridge, shape = bridge_of(model), model.shape
    names = [f"blocks.{i}.attn.hook_z" for i in range(shape.n_layers)]
    names += [f"blocks.{i}.hook_mlp_out" for i in range(shape.n_layers)]
    removed = {(6, 0), (6, 1), (9, 3)}

    def one() -> None:
        _, cache = bridge.run_with_cache(corrupted)
        means = {name: cache[name].mean(0, keepdim=True) for name in names}

        def ablate(activation: torch.Tensor, hook: object) -> torch.Tensor:
            name = hook.name  # type: ignore[attr-defined]
            layer = int(name.split(".")[1])
            if name.endswith("hook_z"):
                activation = activation.clone()
                for head in (h for i, h in removed if i == layer):
                    activation[:, :, head] = means[name][:, :, head]
            return activation

        logits = bridge.run_with_hooks(ids, fwd_hooks=[(name, ablate) for name in names])
        (logits[:, -1, 0] - logits[:, -1, 1]).mean()

    def each() -> list[float]:
        ratios = []
        with torch.no_grad():
            one()
            for _ in range(_RIVALS):
                took = seconds(one)
                passes = [seconds(lambda: plain(input_ids=ids, use_cache=False)) for _ in range(3)]
                ratios.append(took / percentile(passes, 50))
        return ratios

    return model.worker.run(each)
