"""What the trial at the end of loading takes at GPT-2-small's shape, beside the rest of the load.
Weights are random: speed does not depend on them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import engine
from benchmarks.timing import seconds
from benchmarks.toggle import save_gpt2_small

ROUNDS = 5


def measure() -> None:
    """Print the seconds of each load, and those of the trial within it."""
    with tempfile.TemporaryDirectory() as folder:
        save_gpt2_small(Path(folder))
        loads, trials = [], []
        for _ in range(ROUNDS):
            loads.append(seconds(lambda: engine.load(folder)))
            trials.append(engine.certificate(folder).seconds)
            engine.release(folder)
    print("GPT-2-small's shape, loaded anew:")
    print(f"  whole       {', '.join(f'{one:.2f} s' for one in loads)}")
    print(f"  its trial   {', '.join(f'{one:.2f} s' for one in trials)} (at most 2 s is claimed)")
