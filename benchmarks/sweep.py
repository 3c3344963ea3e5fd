"""A full sweep, every head and every MLP ablated alone, beside the usual way: one `run_with_hooks`
over TransformerBridge a site, on all prompts at once. Of one prompt, and of twelve.

How much of the machine is used is told by its own matrix multiplication of the same shapes, timed
in the same run: the arithmetic that late joining leaves, at that rate, against the sweep's time.
Weights are random: speed does not depend on them. The rival is timed on a part of the sites.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import LlamaConfig, LlamaForCausalLM

import engine
from benchmarks.memory import peak
from benchmarks.rival import bridge_of
from benchmarks.timing import percentile, seconds
from benchmarks.toggle import save_gpt2_small
from engine.model.checkpoints import BUNDLED
from engine.model.model import Model

ROUNDS = 5
_EVERY = 8
"""Of so many sites the rival runs one."""


def measure() -> None:
    """Print a sweep of one prompt and of twelve, and of Llama 2 7B's shape where there is a GPU."""
    with tempfile.TemporaryDirectory() as folder:
        save_gpt2_small(Path(folder))
        _measure(folder, 1, 10, 12)
        _measure(folder, 12, 12, 2.5)
        engine.release(folder)
    if torch.cuda.is_available():
        _measure_on_gpu()
    else:
        print("Llama 2 7B's shape: not measured, there is no GPU here")


def _measure(folder: str, n: int, tokens: int, claimed: float) -> None:
    model = engine.load(folder)
    shape, bridge = model.shape, bridge_of(model)
    pairs = some_pairs(folder, n, tokens)
    e = engine.Experiment(folder)
    ids = torch.tensor([engine.tokenize(folder, p.prompt).ids for p in pairs])
    memory = (
        peak(lambda: engine.sweep(e, pairs)),
        peak(lambda: _loop(model, bridge, ids, _EVERY * 4)),
    )
    sweeps, loops, ratios, shares = [], [], [], []
    rounds = ROUNDS if n == 1 else 3
    for _ in range(rounds):
        sweep = seconds(lambda: engine.sweep(e, pairs))
        loop = _loop(model, bridge, ids, _EVERY)
        ideal = multiplying(shape, n * tokens, n)
        sweeps.append(sweep)
        loops.append(loop)
        ratios.append(loop / sweep)
        shares.append(ideal / sweep)
    sites = shape.n_layers * (shape.n_heads + 1)
    print(f"GPT-2-small's shape, {n} prompts of {tokens} tokens, {sites} heads and MLPs:")
    print(f"  sweep                      median {percentile(sweeps, 50):8.2f} s   n {rounds}")
    print(f"  run_with_hooks, one a site median {percentile(loops, 50):8.2f} s   n {rounds}")
    print(
        f"  {percentile(ratios, 50):.1f} × faster, round by round (at least {claimed} is claimed); "
        f"the least {min(ratios):.1f}"
    )
    print(
        f"  {100 * percentile(shares, 50):.0f}% of the machine's own matrix multiplication"
        + (" (at least 60% is claimed)" if n > 1 else "")
    )
    print(f"  memory at most {memory[0]} over the model, by the rival {memory[1]}")


def some_pairs(folder: str, n: int, tokens: int) -> list[engine.Pair]:
    rng = random.Random(0)
    prompts = [" ".join(str(rng.randrange(10)) for _ in range(tokens)) for _ in range(n)]
    assert all(len(engine.tokenize(folder, p)) == tokens for p in prompts)
    return [engine.Pair(p, answer=" 5", distractor=" 4") for p in prompts]


def _loop(model: Model, bridge: TransformerBridge, ids: torch.Tensor, every: int) -> float:
    """Seconds of the usual way for all sites, from one of so many; what is looked at is taken from
    the last position's logits, as notebooks do."""
    shape = model.shape
    sites = [(i, h) for i in range(shape.n_layers) for h in (*range(shape.n_heads), None)]
    some = sites[::every]

    def one(layer: int, head: int | None) -> torch.Tensor:
        def ablate(activation: torch.Tensor, hook: object) -> torch.Tensor:
            activation = activation.clone()
            if head is None:
                activation[:] = 0.0
            else:
                activation[:, :, head] = 0.0
            return activation

        name = "hook_mlp_out" if head is None else "attn.hook_z"
        hooks: list[Any] = [(f"blocks.{layer}.{name}", ablate)]
        logits = bridge.run_with_hooks(ids, fwd_hooks=hooks)[:, -1]
        return logits.log_softmax(-1)

    def loop() -> float:
        one(0, 0)
        return seconds(lambda: [one(*site) for site in some])

    return model.worker.run(loop) * len(sites) / len(some)


def multiplying(shape: engine.Shape, tokens: int, n: int, gated: bool = False) -> float:
    """Seconds of the matrix products that a sweep cannot do without, at this machine's own rate.

    Late joining leaves, for every site, its own layer and those behind it. Of its own layer an
    attention head needs the output projection and the MLP, an MLP nothing; the last layer needs
    keys and values at all positions and the rest at one; then one unembedding. A gated MLP takes
    two products where another takes one.
    """
    s, d = shape, shape.d_model
    wide, per_layer = s.d_mlp or 4 * d, (shape.n_heads + 1) * tokens
    in_attention = (d, d + 2 * s.n_key_value_heads * s.d_head)
    behind = {(d, d): 1.0, (d, wide): 1.0 + gated, (wide, d): 1.0}
    rows: dict[tuple[int, int], float] = dict.fromkeys((in_attention, *behind), 0.0)
    for layer in range(s.n_layers):
        joined = layer * per_layer
        rows[in_attention] += joined
        asked = n / tokens if layer == s.n_layers - 1 else 1.0
        for product, times in behind.items():
            rows[product] += times * (joined + shape.n_heads * tokens) * asked
    rows[(d, s.d_vocab)] = s.n_layers * (shape.n_heads + 1) * n
    total = 0.0
    for (a, b), m in rows.items():
        size = 1024 if b < s.d_vocab else 160
        x, w = torch.randn(size, a), torch.randn(a, b)
        torch.mm(x, w)
        took = [seconds(partial(torch.mm, x, w)) for _ in range(7)]
        total += percentile(took, 50) * m / size
    return total


def _measure_on_gpu() -> None:
    """A sweep of 1,024 heads and 32 MLPs over 12 prompts, weights made on the device."""
    with tempfile.TemporaryDirectory() as folder:
        model = _llama_7b(Path(folder))
        shape = model.shape
        rng = random.Random(0)
        pairs = [
            engine.Pair(
                " ".join(str(rng.randrange(10)) for _ in range(10)), answer=" 5", distractor=" 4"
            )
            for _ in range(12)
        ]
        e = engine.Experiment(folder)
        ids = [engine.tokenize(folder, p.prompt).ids for p in pairs]
        engine.sweep(e, pairs[:2])
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        took = [seconds(lambda: engine.sweep(e, pairs)) for _ in range(3)]
        held = (torch.cuda.max_memory_allocated() - before) / 2**30
        rows = torch.tensor(ids, device=model.device)
        loop = _loop(model, bridge_of(model), rows, 32)
        print(f"Llama 2 7B's shape in bfloat16 on {torch.cuda.get_device_name()}, 12 prompts of")
        print(
            f"{len(ids[0])} tokens, {shape.n_layers * shape.n_heads:,} heads, "
            f"{shape.n_layers} MLPs:"
        )
        print(f"  sweep                      {min(took):8.2f} s, at most {max(took):.2f} s "
              "(within 15 s is claimed)")  # fmt: skip
        print(f"  run_with_hooks, one a site {loop:8.2f} s, from a 32nd part")
        print(f"  memory {held:.2f} GiB over the weights (at most 4 GiB is claimed)")
        engine.release(folder)


def _llama_7b(folder: Path) -> Model:
    """Llama 2 7B's shape with random weights, loaded as any checkpoint is."""
    config = LlamaConfig(
        vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=32, max_position_embeddings=4096,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device("cuda"):
        torch.set_default_dtype(torch.bfloat16)
        try:
            hf = LlamaForCausalLM(config)
        finally:
            torch.set_default_dtype(torch.float32)
    hf.save_pretrained(folder)
    del hf
    torch.cuda.empty_cache()
    _copy_tokenizer(folder)
    return engine.load(str(folder), "cuda", "bfloat16")


def _copy_tokenizer(folder: Path) -> None:
    for file in (BUNDLED / "seq-llama").glob("tokenizer*"):
        shutil.copy(file, folder)
