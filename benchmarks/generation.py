"""Generation, clean and ablated together, beside Hugging Face's own `generate` of a batch of two
with the same attention kernel: whole runs in turn, then the cost of a token by length, then 200
prompts. At GPT-2-small's shape, and where there is a GPU at Llama-2-7B's in bfloat16. Weights are
random: speed does not depend on them; texts do not end by themselves."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

import engine
from benchmarks.memory import peak
from benchmarks.timing import percentile, seconds, told
from engine.model.checkpoints import BUNDLED
from engine.passes import forward

NEW = 48
ROUNDS = 8
LENGTHS = (16, 128, 512, 900)
PROMPTS, EACH = 200, 20


def measure() -> None:
    """Print it for each shape this machine can hold."""
    on_gpu = torch.cuda.is_available()
    gpt2 = GPT2Config(eos_token_id=None, bos_token_id=None)
    beside_generate(
        "GPT-2-small's shape, float32", gpt2, "seq-gpt2", "m3 6.0", "cpu", "float32", claimed=1.25
    )
    if on_gpu:
        llama = LlamaConfig(eos_token_id=None, bos_token_id=1, max_position_embeddings=4096)
        beside_generate(
            "Llama-2-7B's shape, bfloat16", llama, "seq-llama", "m9 16.3", "cuda", "bfloat16",
            claimed=1.25,
        )  # fmt: skip
    else:
        print("no GPU on this machine: Llama-2-7B's shape is left out")


def beside_generate(
    title: str, config: Any, tokenizer: str, sites: str, device: str, dtype: str, claimed: float
) -> None:
    """Print it for one shape, whose ratio is claimed to be at most that."""
    with tempfile.TemporaryDirectory() as folder:
        save(config, Path(folder), tokenizer, device, dtype)
        engine.load(folder, device=device, dtype=dtype)
        plain: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
        plain = plain.to(device).eval()
        print(f"{title}, on {device}, attention by {plain.config._attn_implementation}:")
        _many(folder, plain, sites)  # first, as its memory is measured
        _runs(folder, plain, sites, claimed)
        _lengths(folder, plain, sites)
        engine.release(folder)


def _runs(folder: str, plain: Any, sites: str, claimed: float) -> None:
    ours, rival = [], []
    for i in range(ROUNDS + 1):
        e = engine.Experiment(folder, _prompt(16, seed=i), ablations=sites)
        two = _seconds_of(plain, e, NEW)
        one = _ours(e, NEW)
        if i:
            ours.append(one / NEW)
            rival.append(two / NEW)
    ratios = [a / b for a, b in zip(ours, rival, strict=True)]
    print(told(f"  a token, clean and ablated ({sites})", ours))
    print(told("  a token of generate, a batch of two", rival))
    print(f"  ratio, run by run: median {percentile(ratios, 50):.2f}, claimed at most {claimed}")


def _lengths(folder: str, plain: Any, sites: str) -> None:
    """What a token costs behind prompts of several lengths, the reading of the prompt left out."""
    for n in LENGTHS:
        e = engine.Experiment(folder, _prompt(n, seed=n), ablations=sites)
        ours, rival = [], []
        for _ in range(4):
            rival.append((_seconds_of(plain, e, NEW) - _seconds_of(plain, e, 1)) / (NEW - 1))
            ours.append((_ours(e, NEW) - _ours(e, 1)) / (NEW - 1))
        a, b = percentile(ours, 50), percentile(rival, 50)
        print(
            f"  a token behind {n:4} others: {1000 * a:7.1f} ms, of generate {1000 * b:7.1f} ms, "
            f"ratio {a / b:.2f}"
        )


def _many(folder: str, plain: Any, sites: str) -> None:
    rng = random.Random(0)
    prompts = [_prompt(rng.randrange(4, 24), seed=i) for i in range(PROMPTS)]
    e = engine.Experiment(folder, ablations=sites)
    took: list[float] = []

    def run() -> None:
        took.append(seconds(lambda: engine.generate_many(e, prompts, EACH).result()))

    memory = _peak(plain.device, run)
    (ours,) = took
    some = [engine.Experiment(folder, p) for p in prompts[:10]]
    rival = sum(_seconds_of(plain, one, EACH) for one in some) * PROMPTS / 10
    print(
        f"  {PROMPTS} prompts x {EACH} tokens, clean and ablated: {ours:.1f} s, "
        f"{2 * PROMPTS * EACH / ours:,.0f} tokens a second; one after the other with generate "
        f"{rival:.1f} s"
    )
    print(
        f"  memory at its peak, beyond the model: {memory}, of a budget of "
        f"{forward.CHUNK_BYTES / 1e6:.0f} MB a batch"
    )


def save(config: Any, directory: Path, tokenizer: str, device: str, dtype: str) -> None:
    """Write a model of this shape with random weights, and a bundled model's tokenizer."""
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    model.generation_config.eos_token_id = None
    model.save_pretrained(directory)
    for path in (BUNDLED / tokenizer).glob("token*"):
        shutil.copy(path, directory)


def _prompt(n: int, seed: int) -> str:
    rng = random.Random(seed)
    return " ".join(str(rng.randrange(10)) for _ in range(n))


def _theirs(plain: Any, e: engine.Experiment, n: int) -> None:
    ids = torch.tensor([engine.tokenize(e.model, e.prompt).ids] * 2, device=plain.device)
    plain.generate(ids, max_new_tokens=n, do_sample=False, pad_token_id=0)


def _seconds_of(plain: Any, e: engine.Experiment, n: int) -> float:
    return seconds(lambda: _theirs(plain, e, n))


def _ours(e: engine.Experiment, n: int) -> float:
    return seconds(lambda: list(engine.generate(e, n)))


def _peak(device: torch.device, action: Callable[[], object]) -> str:
    """Run it once. Returns: the most memory held meanwhile beyond what was held before."""
    if device.type != "cuda":
        return peak(action)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    action()
    return f"{(torch.cuda.max_memory_allocated() - before) / 1e6:.0f} MB"
