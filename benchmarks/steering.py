"""A direction added at 12 layers × 9 coefficients at GPT-2-small's shape, beside one
`run_with_hooks` a cell and prompt over TransformerBridge: effect on 12 prompts, damage on neutral
text and tasks left alone, and the same of a random direction, as the map has all of it. Then
generation with an addition at every token beside clean generation.

Weights are random: speed does not depend on them. The rival is timed on a part of the layers; a
loop that runs all prompts of a cell at once is told too.
"""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformer_lens.model_bridge import TransformerBridge

import engine
from benchmarks.rival import bridge_of
from benchmarks.sweep import some_pairs
from benchmarks.timing import percentile, seconds, told
from benchmarks.toggle import save_gpt2_small

ROUNDS, GENERATED = 2, 8
TOKENS, NEW = 12, 48
CLAIMED, CLAIMED_GENERATED = 4.0, 1.15
_EVERY = 6
"""Of so many layers the rival steers one."""


def measure() -> None:
    """Print the map and its rivals, then generation."""
    with tempfile.TemporaryDirectory() as folder:
        save_gpt2_small(Path(folder))
        model = engine.load(folder)
        vectors = [engine.Direction("v", "r6", engine.FromUnembedding(" 5", " 4"))]
        e = engine.Experiment(folder, vectors=vectors)
        _map(e, some_pairs(folder, 12, TOKENS), bridge_of(model))
        _generation(e)
        engine.release(folder)


def _map(e: engine.Experiment, pairs: list[engine.Pair], bridge: TransformerBridge) -> None:
    results: list[engine.SteeringResult] = []
    ours, theirs, at_once = [], [], []
    for _ in range(ROUNDS):
        ours.append(seconds(lambda: results.append(engine.steer(e, "v", pairs, controls=1))))
        result = results[-1]
        prompts = [engine.tokenize(e.model, one.prompt).ids for one in (*pairs, *result.spared)]
        texts = [engine.tokenize(e.model, text).ids for text in engine.neutral_texts(e.model)]
        each = [[ids] for ids in (*prompts, *texts)]
        theirs.append(_loop(bridge, result, each, e))
        lengths = sorted({len(ids) for (ids,) in each})
        groups = [[ids for (ids,) in each if len(ids) == n] for n in lengths]
        at_once.append(_loop(bridge, result, groups, e))
    cells = 2 * len(result.layers) * (len(result.coefficients) - 1)
    print(
        f"{len(result.layers)} layers x {len(result.coefficients)} coefficients of a direction and "
        f"a random one ({cells} cells) on {len(prompts)} prompts and {len(texts)} neutral texts:"
    )
    print(f"  Switchboard                  median {percentile(ours, 50):7.2f} s   n {ROUNDS}")
    print(f"  run_with_hooks, one a prompt median {percentile(theirs, 50):7.2f} s   n {ROUNDS}")
    print(f"  run_with_hooks, one a length median {percentile(at_once, 50):7.2f} s   n {ROUNDS}")
    ratios = [rival / own for own, rival in zip(ours, theirs, strict=True)]
    beside = [rival / own for own, rival in zip(ours, at_once, strict=True)]
    print(
        f"  {percentile(ratios, 50):.1f} × faster, round by round (at least {CLAIMED:.0f} is "
        f"claimed); the least {min(ratios):.1f}; than prompts of a length at once "
        f"{percentile(beside, 50):.1f} ×"
    )


def _loop(
    bridge: TransformerBridge,
    result: engine.SteeringResult,
    batches: list[list[tuple[int, ...]]],
    e: engine.Experiment,
) -> float:
    """Seconds of the usual way for all cells, from one of so many layers."""
    values = torch.from_numpy(engine.direction(e, "v").values)
    drawn = torch.randn_like(values)
    drawn *= values.norm() / drawn.norm()
    some = [torch.tensor(ids) for ids in batches]
    layers = result.layers[_EVERY // 2 :: _EVERY]

    def cell(layer: int, added: torch.Tensor) -> None:
        def steer(activation: torch.Tensor, hook: object) -> torch.Tensor:
            return activation + added

        hooks: list[Any] = [(f"blocks.{layer}.hook_resid_pre", steer)]
        for ids in some:
            bridge.run_with_hooks(ids, fwd_hooks=hooks).log_softmax(-1)

    def loop() -> None:
        with torch.no_grad():
            for layer in layers:
                for vector in (values, drawn):
                    for c in result.coefficients:
                        if c:
                            cell(layer, c * vector)

    return seconds(loop) * len(result.layers) / len(layers)


def _generation(e: engine.Experiment) -> None:
    """A clean and a steered text together, beside the same two runs with nothing added behind the
    first step."""
    clean, steered = [], []
    for i in range(GENERATED + 1):
        asked = replace(e, prompt=_prompt(i), changes=engine.changes("add(v, 2) r6"))
        steered.append(seconds(partial(_generate, asked)) / NEW)
        clean.append(seconds(partial(_generate, asked, until_step=1)) / NEW)
    ratios = [a / b for a, b in zip(steered[1:], clean[1:], strict=True)]  # the first one warms up
    print(told("a token of two texts, one steered at every token", steered[1:]))
    print(told("a token of two texts, nothing added", clean[1:]))
    print(
        f"  ratio, run by run: median {percentile(ratios, 50):.2f}, claimed at most "
        f"{CLAIMED_GENERATED}"
    )


def _generate(e: engine.Experiment, **options: Any) -> None:
    engine.generate(e, NEW, **options).result()


def _prompt(seed: int) -> str:
    rng = random.Random(seed)
    return " ".join(str(rng.randrange(10)) for _ in range(16))
