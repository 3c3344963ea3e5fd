"""A bundled model's card: how it was trained, what it gets right on prompts it never saw, and
whether numerals, number words and months lean on the same heads.

A head's effect on a family is how much the logit difference (answer − last term shown) falls when
that head alone is set to its mean over shuffled runs of the family. What this does not show: how
the heads work together, or what they do when others are missing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from math import comb
from pathlib import Path
from random import Random
from typing import Any

import torch
from transformers import AutoModelForCausalLM

import engine
from engine.tasks.families import LADDERS, Example, shuffled
from engine.text.tokens import Tokenizer
from training.corpus import held_out
from training.tokenizing import CONTEXT

SHARED = ("numerals", "number words", "months")
TOP = 6
CONTROLS = 50
SEED = 7
_ABOUT = {
    "seq-gpt2": "GPT-2 architecture, byte-level BPE, no BOS; trained on sequences",
    "seq-llama": "Llama architecture, grouped queries, SentencePiece, BOS; trained on sequences",
}


def accuracy(directory: Path, examples: dict[str, list[Example]]) -> dict[str, dict[str, Any]]:
    """Top-1 accuracy by family: right means every token of the answer is the model's first choice.

    Returns: family → `right`, `n`, `share` (0 to 1).
    """
    tokenizer = Tokenizer.load(directory)
    model = AutoModelForCausalLM.from_pretrained(directory).eval()
    by_length = defaultdict(list)
    for family, found in examples.items():
        for example in found:
            prompt = tokenizer.encode(example.prompt)
            answer, _ = tokenizer.in_place(prompt, example.answer)
            by_length[len(prompt) + len(answer)].append((family, prompt.ids + answer, len(answer)))
    right: dict[str, int] = defaultdict(int)
    with torch.no_grad():
        for rows in by_length.values():
            ids = torch.tensor([row[1] for row in rows])
            best = model(input_ids=ids[:, :-1]).logits.argmax(-1)
            for (family, _, n), said, meant in zip(rows, best, ids[:, 1:], strict=True):
                right[family] += int(bool((said[-n:] == meant[-n:]).all()))
    return {
        family: {"right": right[family], "n": len(found), "share": right[family] / len(found)}
        for family, found in examples.items()
    }


@dataclass(frozen=True)
class Family:
    """A family's prompts, and the shuffled runs its means are taken over."""

    prompts: tuple[Example, ...]
    references: tuple[str, ...]

    def share_kept(self, model: str, heads: tuple[engine.Site, ...]) -> float:
        """Mean logit difference with these heads ablated, as a share of the clean one."""
        clean = ablated = 0.0
        for p in self.prompts:
            e = engine.Experiment(
                model, p.prompt, answer=p.answer, distractor=p.distractor,
                ablations=engine.Ablations(heads), method="mean", references=self.references,
            )  # fmt: skip
            found = engine.next_token(e, k=1)
            clean += found.clean_logit_diff or 0.0
            ablated += found.ablated_logit_diff or 0.0
        return ablated / clean


def families(rng: Random) -> dict[str, Family]:
    """Twelve prompts and twenty shuffled runs of each family compared."""
    found = {}
    for name in SHARED:
        ladder = LADDERS[name]
        runs = [ladder.run(s, ladder.shown + 1) for s in list(ladder.starts)[:12]]
        prompts = tuple(
            Example(name, " ".join(run[:-1]), f" {run[-1]}", f" {run[-2]}") for run in runs
        )
        references = tuple(" ".join(shuffled(rng, ladder, ladder.shown)) for _ in range(20))
        found[name] = Family(prompts, references)
    return found


def shared_heads(model: str) -> dict[str, Any]:
    """Which heads each family leans on, how far they overlap, and what the shared ones do."""
    rng, shape = Random(SEED), engine.load(model).shape
    every = [engine.Head(i, h) for i in range(shape.n_layers) for h in range(shape.n_heads)]
    asked = families(rng)
    kept = {name: {h: f.share_kept(model, (h,)) for h in every} for name, f in asked.items()}
    top = {name: sorted(every, key=lambda h: kept[name][h])[:TOP] for name in SHARED}
    shared = tuple(sorted(set.intersection(*(set(heads) for heads in top.values()))))
    told: dict[str, Any] = {
        "top": {n: [[str(h), round(1 - kept[n][h], 3)] for h in heads] for n, heads in top.items()},
        "overlap": {f"{a} & {b}": len({*top[a]} & {*top[b]}) for a, b in combinations(SHARED, 2)},
        "chance_overlap": round(TOP * TOP / len(every), 2),
        "shared": [str(h) for h in shared],
        "seed": SEED,
        "kept_without_shared": {},
    }
    if not shared:
        return told
    others = [h for h in every if h not in shared]
    layers = {h.layer for h in shared}
    pools = {"anywhere": others, "same_layers": [h for h in others if h.layer in layers]}
    controls = {where: _controls(rng, pool, len(shared)) for where, pool in pools.items()}
    for name, family in asked.items():
        own = family.share_kept(model, shared)
        told["kept_without_shared"][name] = {"shared": round(own, 3)} | {
            where: _told(own, [family.share_kept(model, heads) for heads in sets])
            for where, sets in controls.items()
        }
    return told


def _controls(rng: Random, pool: list[engine.Head], n: int) -> list[tuple[engine.Head, ...]]:
    """Different random sets of n heads of a pool: as many as wanted, or as there are."""
    sets = list(combinations(pool, n)) if comb(len(pool), n) <= 20 * CONTROLS else None
    if sets is not None:
        return rng.sample(sets, min(CONTROLS, len(sets)))
    found: set[tuple[engine.Head, ...]] = set()
    while len(found) < CONTROLS:
        found.add(tuple(sorted(rng.sample(pool, n))))
    return sorted(found)


def _told(own: float, random: list[float]) -> dict[str, float]:
    """Mean and spread of the controls, how many there are, and how many keep as little."""
    mean = sum(random) / len(random) if random else 0.0
    spread = (sum((x - mean) ** 2 for x in random) / len(random)) ** 0.5 if random else 0.0
    return {
        "n": len(random),
        "mean": round(mean, 3),
        "sd": round(spread, 3),
        "as_low": sum(x <= own for x in random),
    }


def write_card(directory: Path) -> None:
    """Measure, and write card.json and README.md beside the model."""
    name = directory.name
    card = json.loads((directory / "card.json").read_text("utf-8"))
    card = {"about": _ABOUT[name], "training": card["training"]}
    card["accuracy"] = accuracy(directory, held_out().examples)
    card["shared_heads"] = shared_heads(str(directory))
    (directory / "card.json").write_text(json.dumps(card, indent=1) + "\n", "utf-8")
    (directory / "README.md").write_text(_text(name, card), "utf-8")


def _text(name: str, card: dict[str, Any]) -> str:
    t, s = card["training"], card["shared_heads"]
    rows = [
        f"| {family} | {100 * a['share']:.1f}% | {a['right']} of {a['n']} |"
        for family, a in card["accuracy"].items()
    ]
    lines = [
        f"# {name}",
        "",
        f"{_ABOUT[name]}. Six layers of eight heads, d_model 160, context {CONTEXT}, "
        f"{t['parameters']:,} parameters in float32. MIT licence; trained on text its own script "
        "makes.",
        "",
        "## Training",
        "",
        f"`make models`, seed {t['seed']}: {t['steps']:,} steps of at most "
        f"{t['tokens_a_batch']:,} tokens, one thread, {t['minutes']} minutes, final loss "
        f"{t['final_loss']} nats a token. The corpus "
        "(`training/corpus.py`) is an endless stream of short "
        "lines: runs of numerals, number words, months, weekdays, letters, ordinals, Spanish "
        "numbers and months, steps of 2, 3, 5 and 10, descending runs, Fibonacci, “Van done in 1. "
        "Hat done in 2. …”, dates, ages, and shuffled runs with nothing to continue.",
        "",
        "## Accuracy on prompts training never saw",
        "",
        "Top-1, every token of the answer. Lists (months, letters, …) are asked in styles, a "
        "separator and a case, that training never writes them in; counted runs end in four terms "
        "that no line holds with that separator; sentences are whole prompts that no line holds.",
        "",
        "| family | right | of |",
        "|---|---|---|",
        *rows,
        "",
        "## Do numerals, number words and months lean on the same heads?",
        "",
        "Each head alone is set to its mean over 20 shuffled runs of the family; its effect is the "
        "share of the logit difference (answer − last term shown; 12 prompts a family) that is "
        f"lost. The {TOP} heads each family loses most by:",
        "",
        "| family | heads (share lost) |",
        "|---|---|",
        *(
            f"| {family} | " + ", ".join(f"{h} ({100 * d:.0f}%)" for h, d in heads) + " |"
            for family, heads in s["top"].items()
        ),
        "",
        f"Two random sets of {TOP} of 48 heads share {s['chance_overlap']} on average; here "
        + ", ".join(f"{pair} share {n}" for pair, n in s["overlap"].items())
        + ".",
        "",
        *_shared_text(s),
    ]
    return "\n".join(lines) + "\n"


def _shared_text(s: dict[str, Any]) -> list[str]:
    if not s["shared"]:
        return ["No head is among the six of all three families."]
    rows = [
        f"| {family} | {round(100 * k['shared'])}% | {_control_text(k['anywhere'])} | "
        f"{_control_text(k['same_layers'])} |"
        for family, k in s["kept_without_shared"].items()
    ]
    return [
        f"All three share {', '.join(s['shared'])}. Share of the logit difference kept with them "
        "set to their means, beside as many random other heads, of any layer and of the same "
        f"layers (at most {CONTROLS} different sets, seed {s['seed']}: mean ± standard deviation, "
        "and how many kept as little):",
        "",
        "| family | without the shared heads | without random heads | of the same layers |",
        "|---|---|---|---|",
        *rows,
    ]


def _control_text(c: dict[str, float]) -> str:
    if not c["n"]:
        return "too few of them"
    if c["n"] == 1:
        return f"{100 * c['mean']:.0f}% (the one set there is)"
    return f"{100 * c['mean']:.0f}% ± {100 * c['sd']:.0f} ({c['as_low']} of {c['n']})"
