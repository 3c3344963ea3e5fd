"""How long the rest of long work is said to take, against how long it took: a sweep and a search at
GPT-2-small's shape, new and gone on with, and many prompts' texts.

Told at a quarter, a half and three quarters of the time that the work, or a search's walk, took
from where it was begun.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import engine
from benchmarks.pruning import THRESHOLD, better_of_two
from benchmarks.toggle import save_gpt2_small

WHEN = (0.25, 0.5, 0.75)
PAIRS = 40


def measure() -> None:
    """Print, for each kind of work, what was told over what came at each of the times."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as searches:
        save_gpt2_small(Path(folder))
        engine.load(folder)
        task = better_of_two(folder, PAIRS)
        e = engine.Experiment(folder, ablations="0.1")
        sweep = engine.Sweep(engine.Experiment(folder), task.pairs, estimate=True)
        search = engine.Discover(
            engine.Search(folder, task, threshold=THRESHOLD), 0, save=f"{searches}/search.json"
        )
        many = engine.GenerateMany(
            e, tuple(map(engine.Example, (p.prompt for p in task.pairs))), 20
        )
        print(
            f"Seconds said to be left, over those that came; GPT-2-small's shape, {PAIRS} prompts:"
        )
        _told("a sweep of every head and MLP", sweep)
        _told("  gone on with from its middle", sweep, _half_of(sweep))
        half_saved = replace(search, save=f"{searches}/half.json")
        _told("a walk of a search", search)
        _half_of(half_saved)
        _told("  gone on with from its middle", half_saved)
        _told("texts of 20 tokens", many)
        engine.release(folder)


def _told(name: str, question: Any, so_far: Any = None) -> None:
    """Print a line of one piece of work, or of the first walk of a search."""
    begun = time.monotonic()
    work = engine.begin(question, so_far=so_far)
    told: list[tuple[float, float]] = []
    for part in work.within(0.05):
        known = part or work.latest
        if getattr(known, "walk", 1) > 1:  # what a search tells is of its walk
            work.cancel()
        left = getattr(known, "seconds_left", work.seconds_left)
        if left is not None:
            told.append((time.monotonic() - begun, left))
    took = time.monotonic() - begun
    said = []
    for when in WHEN:
        at, left = min(told, key=lambda one: abs(one[0] - when * took))
        said.append(f"{left / max(took - at, 1e-9):.2f} at {at / took:.0%}")
    print(f"{name:<46} {took:5.1f} s; {', '.join(said)}")


def _half_of(question: Any) -> Any:
    """What is known of an answer when half of it, or of its first walk, is done."""
    work = engine.begin(question)
    for known in work:
        if known.progress > 0.5:
            work.cancel()
            time.sleep(1)  # in which a search is saved
            return known
    raise AssertionError("It ended before anything was told of it.")
