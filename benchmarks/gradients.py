"""Every edge and every node scored by integrated gradients at GPT-2-small's shape, beside a plain
loop of autograd on the Hugging Face model and, where there is a Python that has it, hannamw's own
code on TransformerLens 2 (`make rivals`, or the Python that EAP_PYTHON names), in turns.

All run the same weights, which are random: speed does not depend on them.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import engine
from benchmarks.plain_gradients import Plain
from benchmarks.sweep import some_pairs
from benchmarks.timing import both, percentile
from benchmarks.toggle import save_gpt2_small

ROUNDS, PAIRS, TOKENS, STEPS, CLAIMED = 3, 12, 12, 5, 3.0
_CHILD = Path(__file__).with_name("eap_ig.py")
Times = list[tuple[float, float]]
Read = list[tuple[list[int], list[int], tuple[int, int]]]


def measure() -> None:
    """Print the times of all, their ratios round by round, and how far the scores are apart."""
    with tempfile.TemporaryDirectory() as folder:
        save_gpt2_small(Path(folder))
        engine.load(folder)
        some = some_pairs(folder, 2 * PAIRS, TOKENS)
        pairs = [
            engine.Pair(a.prompt, b.prompt, a.answer, a.distractor)
            for a, b in zip(some[::2], some[1::2], strict=True)
        ]
        print(f"GPT-2-small's shape, {PAIRS} pairs of {TOKENS} tokens, {STEPS} steps, "
              f"{torch.get_num_threads()} threads:")  # fmt: skip
        with _rival(folder, read_ids(folder, pairs)) as rival:
            for kind in ("edges", "nodes"):
                _measure(folder, pairs, kind, rival)
        engine.release(folder)


def read_ids(folder: str, pairs: Sequence[engine.Pair]) -> Read:
    """Ids of both prompts, and of answer and distractor."""

    def ids(text: str) -> list[int]:
        return list(engine.tokenize(folder, text).ids)

    def last(pair: engine.Pair) -> tuple[int, int]:
        return ids(pair.prompt + pair.answer)[-1], ids(pair.prompt + pair.distractor)[-1]

    return [(ids(pair.prompt), ids(pair.corrupted), last(pair)) for pair in pairs]


def _measure(
    folder: str,
    pairs: Sequence[engine.Pair],
    kind: str,
    rival: Callable[[str], tuple[float, float, np.ndarray]] | None,
) -> None:
    e, read = engine.Experiment(folder), read_ids(folder, pairs)
    plain = Plain(GPT2LMHeadModel.from_pretrained(folder), STEPS)
    own: list[np.ndarray] = []
    others: dict[str, tuple[Times, list[np.ndarray]]] = {"a plain loop of autograd": ([], [])}
    if rival is not None:
        others["hannamw's EAP-IG"] = ([], [])
    ours: Times = []

    def ask() -> None:
        own.append(_edges(e, pairs) if kind == "edges" else _nodes(e, pairs))

    def loop() -> None:
        score = plain.edges if kind == "edges" else plain.nodes
        found = torch.stack([score(*one) for one in read]).mean(0)
        others["a plain loop of autograd"][1].append(found.numpy())

    for _ in range(ROUNDS):
        ours.append(both(ask))
        others["a plain loop of autograd"][0].append(both(loop))
        if rival is not None:
            *time, found = rival(kind)
            times, scores = others["hannamw's EAP-IG"]
            times.append((time[0], time[1]))
            scores.append(found)
    print(f"  all {int(np.isfinite(own[0]).sum()):,} {kind}:")
    _told("Switchboard", ours)
    for name, (times, scores) in others.items():
        _told(name, times)
        ratios = [[b[i] / a[i] for a, b in zip(ours, times, strict=True)] for i in (0, 1)]
        off = np.abs(own[-1] - scores[-1])
        if kind == "nodes" and name.startswith("hannamw"):
            off = off[_no_mlp(len(off))]
        claimed = f" (at least {CLAIMED:.0f} × is claimed)" if name.startswith("hannamw") else ""
        print(f"      {percentile(ratios[0], 50):.1f} × as long{claimed}, by the processor's time "
              f"{percentile(ratios[1], 50):.1f} × (the least {min(ratios[0]):.1f} and "
              f"{min(ratios[1]):.1f}); scores apart by at most {np.nanmax(off):.1e} of "
              f"{np.nanmax(np.abs(own[-1])):.1e}")  # fmt: skip


def _edges(e: engine.Experiment, pairs: Sequence[engine.Pair]) -> np.ndarray:
    return engine.edge_attribution(e, pairs, STEPS).score


def _nodes(e: engine.Experiment, pairs: Sequence[engine.Pair]) -> np.ndarray:
    result = engine.node_attribution(e, pairs, STEPS)
    layers = np.concatenate([result.heads, result.mlps[..., None]], axis=2)
    return np.append(result.embedding.mean(), layers.mean(0))


def _no_mlp(n: int) -> np.ndarray:
    """Which nodes are no MLP: of one hannamw's code takes the gradient at its input."""
    each = GPT2Config().n_head + 1
    return (np.arange(n) % each != 0) | (np.arange(n) == 0)


def _told(name: str, times: Times) -> None:
    each = ", ".join(f"{wall:.1f}" for wall, _ in times)
    print(f"    {name:<26} {each} s; of the processor "
          + ", ".join(f"{used:.1f}" for _, used in times) + " s")  # fmt: skip


@contextmanager
def _rival(
    folder: str, read: Read
) -> Iterator[Callable[[str], tuple[float, float, np.ndarray]] | None]:
    """hannamw's code in its own process; None where its environment is not there."""
    python = Path(os.environ.get("EAP_PYTHON", ".rivals-eap/bin/python"))
    if not python.exists():
        print("  hannamw's EAP-IG: not measured, it is not there; `make rivals` makes its "
              "environment")  # fmt: skip
        yield None
        return
    command = [str(python), str(_CHILD), folder, json.dumps(read), str(STEPS)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdout is not None and child.stdin is not None
        answers, asks = child.stdout, child.stdin
        if answers.readline().strip() != "ready":
            raise RuntimeError(f"{python} cannot run {_CHILD.name}; make the environment anew.")

        def ask(kind: str) -> tuple[float, float, np.ndarray]:
            asks.write(kind + "\n")
            asks.flush()
            wall, processor, scores = json.loads(answers.readline())
            return wall, processor, np.array(scores)

        yield ask
        asks.close()
