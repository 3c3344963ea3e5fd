"""SmolLM2-135M's shape, narrow and with grouped queries: a sweep of one prompt, beside nnsight's
batched trace of one invoke a head and the machine's own matrix multiplication; a toggle beside a
plain forward pass; generation beside `generate`. Weights are random: speed does not depend on them.

nnsight runs in an environment of its own (`make rivals`, or the Python that NNSIGHT_PYTHON names),
in turn with the engine, which begins with a sweep of a model just loaded.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers import LlamaConfig

import engine
from benchmarks import generation, toggle
from benchmarks.generation import save
from benchmarks.sweep import multiplying, some_pairs
from benchmarks.timing import both, percentile

ROUNDS = 5
TOKENS = 14
_CHILD = Path(__file__).with_name("nnsight_trace.py")


def config() -> LlamaConfig:
    """The shape, without a token that ends texts."""
    return LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=8192,
        rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        tie_word_embeddings=True, eos_token_id=None, bos_token_id=None,
    )  # fmt: skip


def measure() -> None:
    """Print all three."""
    with tempfile.TemporaryDirectory() as folder:
        save(config(), Path(folder), "seq-gpt2", "cpu", "float32")
        _sweeps(folder)
        toggle.beside_a_pass("SmolLM2's shape", folder, claimed=0.75)
        engine.release(folder)
    generation.beside_generate(
        "SmolLM2's shape, float32", config(), "seq-gpt2", "m15 20.0", "cpu", "float32", claimed=1.15
    )


def _sweeps(folder: str) -> None:
    shape = engine.load(folder).shape
    (pair,) = some_pairs(folder, 1, TOKENS)
    e = engine.Experiment(folder)
    print(f"SmolLM2's shape, 1 prompt of {TOKENS} tokens, {shape.n_layers * (shape.n_heads + 1)} "
          f"sites; nnsight: {shape.n_layers * shape.n_heads}")  # fmt: skip
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    shares: list[float] = []
    with _rival(folder) as rival:
        for _ in range(ROUNDS):
            ideal = multiplying(shape, TOKENS, 1, gated=True)
            ours.append(both(lambda: engine.sweep(e, [pair])))
            shares.append(ideal / ours[-1][0])
            if rival is not None:
                theirs.append(_traced(rival))
    _told("sweep", ours)
    print(f"  {100 * shares[0]:.0f}% of the machine's own matrix multiplication the first time, "
          f"{100 * percentile(shares[1:], 50):.0f}% then (at least 85% is claimed)")  # fmt: skip
    if theirs:
        _told("nnsight, one invoke a head", theirs)
        ratios = [b[0] / a[0] for a, b in zip(ours, theirs, strict=True)]
        print(f"  {ratios[0]:.1f} × faster the first time, {percentile(ratios[1:], 50):.1f} then "
              f"(at least 2.3 is claimed); the least {min(ratios):.1f}")  # fmt: skip
    else:
        print("  nnsight: not measured, it is not there; `make rivals` makes its environment")


def _told(name: str, times: list[tuple[float, float]]) -> None:
    wall, processor = ([t[i] for t in times[1:]] for i in (0, 1))
    print(f"  {name:<27} first {times[0][0]:6.2f} s, then median {percentile(wall, 50):6.2f} s, "
          f"least {min(wall):6.2f} s")  # fmt: skip
    print(f"  {'':<27} of the processor's cores {times[0][1]:6.2f} s, "
          f"then {percentile(processor, 50):6.2f} s")  # fmt: skip


@contextmanager
def _rival(folder: str) -> Iterator[subprocess.Popen[str] | None]:
    """nnsight's process, ready to trace; None where its environment is not there."""
    python = Path(os.environ.get("NNSIGHT_PYTHON", ".rivals/bin/python"))
    if not python.exists():
        yield None
        return
    command = [str(python), str(_CHILD), folder, str(TOKENS)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdout is not None and child.stdin is not None
        if child.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{python} cannot run {_CHILD.name}; make the environment anew.")
        yield child
        child.stdin.close()


def _traced(child: subprocess.Popen[str]) -> tuple[float, float]:
    assert child.stdout is not None and child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()
    wall, processor = map(float, child.stdout.readline().split())
    return wall, processor
