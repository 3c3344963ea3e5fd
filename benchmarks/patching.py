"""Activation patching at GPT-2-small's shape beside TransformerLens' own patching functions, one
`run_with_hooks` a place: what enters every layer at each of 15 positions, and every head's output.

Both run the same weights, which are random: speed does not depend on them.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import torch
from transformer_lens import patching
from transformer_lens.model_bridge import TransformerBridge

import engine
from benchmarks.rival import bridge_of
from benchmarks.sweep import some_pairs
from benchmarks.timing import percentile, seconds
from benchmarks.toggle import save_gpt2_small

ROUNDS = 3
TOKENS = 15
CLAIMED = {"resid_pre": 5.0, "z": 8.0}
_LOOPS = {
    "resid_pre": patching.get_act_patch_resid_pre,
    "z": patching.get_act_patch_attn_head_out_all_pos,
}


def measure() -> None:
    """Print both grids, round by round, and how far the numbers of the two are apart."""
    with tempfile.TemporaryDirectory() as folder:
        save_gpt2_small(Path(folder))
        model = engine.load(folder)
        bridge = bridge_of(model)
        one, other = some_pairs(folder, 2, TOKENS)
        pair = engine.Pair(one.prompt, other.prompt, one.answer, one.distractor)
        e = engine.Experiment(folder)
        clean, corrupted = (
            torch.tensor([engine.tokenize(folder, text).ids])
            for text in (pair.prompt, pair.corrupted)
        )
        answer, distractor = (
            engine.tokenize(folder, text).ids[-1] for text in (pair.answer, pair.distractor)
        )

        def score(logits: torch.Tensor) -> torch.Tensor:
            return logits[0, -1, answer] - logits[0, -1, distractor]

        for place, claimed in CLAIMED.items():
            _measure(place, claimed, bridge, (e, pair), (clean, corrupted), score)
        engine.release(folder)


def _measure(
    place: str,
    claimed: float,
    bridge: TransformerBridge,
    asked: tuple[engine.Experiment, engine.Pair],
    texts: tuple[torch.Tensor, torch.Tensor],
    score: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    e, pair = asked
    clean, corrupted = texts
    results: list[engine.PatchResult] = []
    grids: list[torch.Tensor] = []

    def loop() -> None:
        with torch.no_grad(), redirect_stderr(io.StringIO()):  # it draws a bar
            _, cache = bridge.run_with_cache(clean)
            grids.append(_LOOPS[place](bridge, corrupted, cache, score))

    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(seconds(lambda: results.append(engine.patch(e, [pair], place))))
        theirs.append(seconds(loop))
    ratios = [rival / own for own, rival in zip(ours, theirs, strict=True)]
    numbers = results[-1].numbers[0, 0]
    found = numbers[..., 0].T if place == "resid_pre" else numbers[0]
    off = float(abs(found - grids[-1].numpy()).max())
    print(f"{place}, {results[-1].n_places} patches over {TOKENS} tokens:")
    print(f"  Switchboard            median {percentile(ours, 50):7.2f} s   n {ROUNDS}")
    print(f"  TransformerLens' loop  median {percentile(theirs, 50):7.2f} s   n {ROUNDS}")
    print(
        f"  {percentile(ratios, 50):.1f} × faster, round by round (at least {claimed:.0f} is "
        f"claimed); the least {min(ratios):.1f}; numbers apart by at most {off:.1e}"
    )
