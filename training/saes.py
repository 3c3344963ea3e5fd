"""`make saes`: the sparse autoencoder that ships, trained on `seq-gpt2`'s own kind of text, and its
card: how healthy it is on lines that it was not trained on."""

from __future__ import annotations

import json
import os
import tempfile
from itertools import islice
from typing import Any

import engine
from engine.saved.saes import BUNDLED
from training.corpus import held_out, lines

MODEL, SITE, NAME = "seq-gpt2", "r3", "seq-gpt2-r3"
EXPANSION, K, TOKENS, SEED = 4, 16, 2_000_000, 0
N_LINES, N_MEASURED = 10_000, 1_500
LINES_SEED, MEASURED_SEED = 31, 47
SHOWN = 12


def main() -> None:
    """Train, write, measure, write the card."""
    os.environ["SWITCHBOARD_SAES"] = tempfile.mkdtemp()
    texts = drawn(LINES_SEED, N_LINES)
    question = engine.TrainSae(MODEL, SITE, texts, EXPANSION, K, TOKENS, seed=SEED, name=NAME)
    work = engine.begin(question)
    for known in work:
        if known.tokens.size:
            left = known.unexplained[-1]
            print(f"\r{known.progress:.0%} {left:.4f} {known.dead[-1]:.0%}", end="", flush=True)
    training = work.result()
    assert training.sae is not None
    folder = BUNDLED / NAME
    engine.save_sae(training.sae, folder, "float16")
    sae = engine.bundled_sae(NAME)
    health = engine.measure_sae(MODEL, sae, drawn(MEASURED_SEED, N_MEASURED))
    card = card_of(training, health)
    (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n", "utf-8")
    (folder / "README.md").write_text(text_of(card), "utf-8")
    print(f"\n{health.verdict}")


def drawn(seed: int, n: int) -> tuple[str, ...]:
    """Lines of the corpus."""
    return tuple(line.text for line in islice(lines(seed, held_out()), n))


def card_of(training: engine.SaeTraining, health: engine.SaeHealth) -> dict[str, Any]:
    """What is known of it, as plain values."""
    return {
        "about": f"sparse autoencoder of what enters layer 3 of {MODEL}",
        "training": {
            "lines": N_LINES,
            "tokens_there": training.n_read,
            "tokens": training.n_tokens,
            "seed": SEED,
            "features": training.d_sae,
            "k": training.k,
        },
        "health": {str(row["number"]): row["value"] for row in health.table()},
        "verdict": health.verdict,
    }


def text_of(card: dict[str, Any]) -> str:
    """The card as people read it."""
    t = card["training"]
    rows = [
        f"| {name} | {value:,.0f} |" if name == "tokens" else f"| {name} | {value:.4f} |"
        for name, value in card["health"].items()
    ]
    return "\n".join(
        [
            f"# {NAME}",
            "",
            f"A top-k sparse autoencoder of the residual stream that enters layer 3 of {MODEL} "
            f"(`{SITE}`): {t['features']} features, {t['k']} on at a token, float16, in SAELens' "
            "form. MIT licence.",
            "",
            f"`make saes`: {t['tokens']:,} tokens in random order, of {t['tokens_there']:,} that "
            f"{t['lines']:,} lines of `training/corpus.py` have, seed {t['seed']}, by "
            "`train_sae` (Gao et al. 2024).",
            "",
            f"## Health, on {N_MEASURED:,} other lines (losses and KL in nats a token)",
            "",
            "| | |",
            "|---|---|",
            *rows,
            "",
            card["verdict"],
            "",
            "What it does not show: what a feature means, or that the model uses it; and another "
            "seed finds others.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
