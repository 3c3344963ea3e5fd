"""Every head's pattern at GPT-2-small's shape and 64 tokens: thumbnails and scores as the Attention
page asks for them, with a head ablated and its clean twin.

The rival is how notebooks do it: one forward pass of the Hugging Face model with its attentions,
clean only, then CircuitsVis' HTML for each layer. Weights are random: speed does not depend on
them. Both are new to each prompt; neither includes the browser's drawing. Then the page itself in
Chromium: from a new prompt's entering to the last thumbnail drawn, there and of a model of 32 × 32
heads (narrow, so that it is the page that is measured) at 200 tokens.
"""

from __future__ import annotations

import random
import tempfile
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import torch
from circuitsvis.attention import attention_heads
from transformers import AutoModelForCausalLM

import engine
from benchmarks.driving import chromium, serving, wait_until_up
from benchmarks.memory import peak
from benchmarks.timing import percentile, seconds, told
from benchmarks.toggle import save_gpt2, save_gpt2_small

TOKENS = 64
MANY_TOKENS = 200
ROUNDS = 8
_WATCH = """() => {
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  CanvasRenderingContext2D.prototype.drawImage = function (...args) {
    draw.apply(this, args);
    if (this.canvas.className === "all") window.last = performance.now();
  };
}"""


def measure() -> None:
    """Print both, in turn, with what each would send to a browser."""
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        save_gpt2_small(Path(folder))
        plain = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
        engine.load(folder)
        ours, rival, sizes, memory = [], [], (0, 0), ("", "")
        for i in range(ROUNDS + 1):
            prompt = _prompt(rng)
            tokens = engine.tokenize(folder, prompt)
            assert len(tokens) == TOKENS
            e = engine.Experiment(folder, prompt, ablations="0.1")

            def notebook(tokens: engine.Tokens = tokens) -> int:
                with torch.no_grad():
                    out = plain(torch.tensor([tokens.ids]), output_attentions=True, use_cache=False)
                pages = [attention_heads(a[0], list(tokens.pieces)) for a in out.attentions]
                return sum(len(page.local_src) for page in pages)

            if not i:
                memory = peak(partial(engine.attention_overview, e)), peak(notebook)
            one = seconds(partial(engine.attention_overview, e))
            two = seconds(notebook)
            sizes = (engine.attention_overview(e).clean.shade.nbytes, notebook())
            if i:
                ours.append(one)
                rival.append(two)
        print(f"GPT-2-small's shape, {TOKENS} tokens, all 144 patterns:")
        print(told("  overview and scores, clean and ablated", ours))
        print(told("  output_attentions and CircuitsVis, clean only", rival))
        print(f"  sent for one run: {sizes[0] / 1e6:.1f} MB, by the rival {sizes[1] / 1e6:.1f} MB")
        print(f"  memory at most {memory[0]} over the model, by the rival {memory[1]}")
        drawn = _on_screen(folder, rng, TOKENS)
        print(told("  in a browser, from a new prompt to the last one drawn", drawn))
        print(f"  p95 {percentile(drawn, 95):.2f} s (at most 2 s is claimed)")
    with tempfile.TemporaryDirectory() as folder:
        save_gpt2(Path(folder), n_layer=32, n_head=32, n_embd=256, n_positions=256)
        print(f"32 layers × 32 heads, {MANY_TOKENS} tokens, all 1,024 patterns:")
        drawn = _on_screen(folder, rng, MANY_TOKENS)
        print(told("  in a browser, from a new prompt to the last one drawn", drawn))


def _on_screen(folder: str, rng: random.Random, n_tokens: int) -> list[float]:
    """Seconds from entering a prompt on the Attention page until every thumbnail is drawn."""
    found = []
    with chromium() as browser, serving() as address:
        wait_until_up(address)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        query = urlencode({"model": folder, "prompt": _prompt(rng, n_tokens), "ablations": "0.1"})
        page.goto(f"{address}/attention?{query}", timeout=120_000)
        page.wait_for_selector(".sb-circuitsvis canvas", timeout=120_000)
        page.evaluate(_WATCH)
        for i in range(ROUNDS + 1):
            page.get_by_role("textbox", name="Prompt", exact=True).fill(_prompt(rng, n_tokens))
            page.evaluate("window.from = performance.now(); window.last = null")
            page.keyboard.press("Control+Enter")
            page.wait_for_function(
                "window.last !== null && performance.now() - window.last > 500", timeout=60_000
            )
            if i:
                found.append(page.evaluate("(window.last - window.from) / 1000"))
    return found


def _prompt(rng: random.Random, n_tokens: int = TOKENS) -> str:
    return " ".join(str(rng.randrange(10)) for _ in range(n_tokens))
