"""The faithfulness of a ranking's circuits of every size, beside MIB's own evaluation with
hannamw's EAP-IG on TransformerLens 2 where there is a Python that has them (`make rivals`, or the
Python that EAP_PYTHON names), in turns: the same weights, pairs and file of scores.

How far the numbers are apart is seen on the bundled model, which does a task; how long both take at
GPT-2-small's shape, whose weights are random. The circuit of iterative pruning stands on the same
curve as a point.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import engine
from benchmarks.gradients import read_ids
from benchmarks.pruning import better_of_two
from benchmarks.timing import both
from benchmarks.toggle import save_gpt2_small
from engine.model.checkpoints import BUNDLED

PAIRS, STEPS, MODEL = 12, 5, "seq-gpt2"
_CHILD = Path(__file__).with_name("mib_curve.py")
Rival = Callable[[engine.Ranked, str], list[Any]]


def measure() -> None:
    """Print how far ours and MIB's are apart, the circuit of a search among them, and how long both
    take."""
    _agreement()
    _seconds()


def _agreement() -> None:
    task = engine.task("numerals", MODEL, n=PAIRS, seed=0)
    print(f"{MODEL}, {PAIRS} pairs of {task.n_tokens} tokens, numerals:")
    with _rival(str(BUNDLED / MODEL), MODEL, task.pairs) as rival:
        for ranking in _rankings(MODEL, task.pairs):
            for by in engine.ORDERS:
                curve = engine.faithfulness_curve(ranking, task, by)
                _told(curve)
                if rival is not None:
                    _apart(curve, rival(ranking, by))
    found = engine.discover(task, MODEL, controls=0)
    point = engine.faithfulness_curve(engine.rank_members(found.circuit, "pruned"), task)
    own = point.control_faithfulness[:, 0]
    print(f"  the circuit of iterative pruning: {point.sizes[0]} of {point.n_members} nodes, "
          f"faithfulness {point.faithfulness[0]:.3f}; random circuits as large "
          f"{own.mean():.3f} ({own.min():.3f} to {own.max():.3f})")  # fmt: skip


def _seconds() -> None:
    with tempfile.TemporaryDirectory() as folder:
        save_gpt2_small(Path(folder))
        engine.load(folder)
        task = better_of_two(folder)
        n = len(engine.tokenize(folder, task.pairs[0].prompt))
        print(f"GPT-2-small's shape, {PAIRS} pairs of {n} tokens, {torch.get_num_threads()} "
              "threads:")  # fmt: skip
        with _rival(folder, folder, task.pairs) as rival:
            for ranking in _rankings(folder, task.pairs):
                wall, used = both(partial(engine.faithfulness_curve, ranking, task, controls=0))
                print(f"  {ranking.name}, all ten sizes: {wall:.1f} s, of the processor {used:.1f}")
                if rival is None:
                    continue
                theirs, processor, *_ = rival(ranking, "magnitude")
                print(f"    MIB's {theirs:.1f} s, of the processor {processor:.1f}: "
                      f"{theirs / wall:.1f} × as long, {processor / used:.1f} × by the "
                      "processor")  # fmt: skip
        engine.release(folder)


def _rankings(model: str, pairs: Sequence[engine.Pair]) -> list[engine.Ranked]:
    e = engine.Experiment(model)
    return [
        engine.rank_members(engine.edge_attribution(e, pairs, STEPS)),
        engine.rank_members(engine.node_attribution(e, pairs, STEPS)),
    ]


def _told(curve: engine.FaithfulnessCurve) -> None:
    areas = [
        f"{of.upper()} {value:.4f} (random {curve.control_areas(of).mean():.3f} ± "
        f"{curve.control_areas(of).std():.3f})"
        for of, value in (("cpr", curve.cpr()), ("cmd", curve.cmd()))
    ]
    print(f"  {curve.ranked.name}, {curve.n_members:,} {curve.ranked.level} by {curve.by}: "
          + ", ".join(areas))  # fmt: skip


def _apart(curve: engine.FaithfulnessCurve, theirs: list[Any]) -> None:
    _, _, ends, f, cpr, cmd, counts = theirs
    own = curve.clean.mean(), curve.corrupted.mean()
    counted = "alike"
    if list(curve.n_edges) != counts:  # of nodes MIB counts edges to earlier ones as well
        counted = f"{counts[-1]:,.0f}, back to earlier nodes too, and ours {curve.n_edges[-1]:,}"
    print(f"    MIB's: apart by at most {np.abs(np.array(f) - curve.faithfulness).max():.1e} in "
          f"faithfulness, CPR {abs(cpr - curve.cpr()):.1e}, CMD {abs(cmd - curve.cmd()):.1e}, "
          f"m(N) {abs(ends[0] - own[0]):.1e}, m(∅) {abs(ends[1] - own[1]):.1e} of "
          f"{own[0] - own[1]:.2f}; edges counted {counted}")  # fmt: skip


@contextmanager
def _rival(directory: str, model: str, pairs: Sequence[engine.Pair]) -> Iterator[Rival | None]:
    """MIB's code in its own process; None where its environment is not there."""
    python = Path(os.environ.get("EAP_PYTHON", ".rivals-eap/bin/python"))
    if not python.exists():
        print("  MIB's evaluation: not measured, it is not there; `make rivals` makes its "
              "environment")  # fmt: skip
        yield None
        return
    command = [str(python), str(_CHILD), directory, json.dumps(read_ids(model, pairs))]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True,
        ) as child,
    ):  # fmt: skip
        assert child.stdout is not None and child.stdin is not None
        answers, asks = child.stdout, child.stdin
        if answers.readline().strip() != "ready":
            raise RuntimeError(f"{python} cannot run {_CHILD.name}; make the environment anew.")

        def ask(ranking: engine.Ranked, by: str) -> list[Any]:
            path = Path(folder) / "graph.json"
            path.write_text(engine.write_mib(ranking), encoding="utf-8")
            question = [str(path), ranking.level.removesuffix("s"), by == "magnitude"]
            asks.write(json.dumps(question) + "\n")
            asks.flush()
            answer: list[Any] = json.loads(answers.readline())
            return answer

        yield ask
        asks.close()
