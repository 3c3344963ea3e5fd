"""`make neurons`: the neurons an answer rests on, and whether a model has neurons of a language.

For the bundled models and SmolLM2 the neurons ranked by what they do to the logit difference, in
the style the model does best, beside what their estimates say; of SmolLM2, which has read English
and Spanish, the neurons most selective between them. Writes docs/neurons.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import engine

MODELS = ("seq-gpt2", "seq-llama", "smollm2-135m")
FAMILIES = ("numerals", "months")
READER = "smollm2-135m"
SETS = ("english", "spanish")
SELECTED_BY = {"entropy": "entropy over sets", "precision": "average precision"}
PAIRS, EXACT, SHOWN = 12, 50, 3
PAGE = Path(__file__).resolve().parent.parent / "docs" / "neurons.md"


def main() -> None:
    """Ask each model, and write."""
    ranked = [ranking(model, family) for model in MODELS for family in FAMILIES]
    between = [row for by in SELECTED_BY for does in ("silence", "force")
               for row in languages(by, does)]  # fmt: skip
    PAGE.write_text("\n".join(page(ranked, between)) + "\n", "utf-8")


def ranking(model: str, family: str) -> str:
    """A row: the neurons whose ablation takes most, on one family."""
    style = engine.score_styles(model, (family,), PAIRS).best(family)
    assert style is not None
    task = engine.task(family, model, PAIRS, style=style)
    result = engine.rank_neurons(engine.Experiment(model), task.pairs, exact=EXACT)
    first = sorted(result.table(EXACT), key=lambda row: float(str(row["exact"])))[:SHOWN]
    told = ", ".join(
        f"{row['neuron']} {float(str(row['exact'])):+.2f} ± {float(str(row['exact_std'])):.2f}"
        for row in first
    )
    agree = result.agreement
    return (
        f"| {model}, {task.name} | {result.clean.mean():+.2f} | {told} | {agree.pearson:+.2f}, "
        f"{agree.spearman:+.2f} |"
    )


def languages(by: str, does: str) -> list[str]:
    """Rows: each set's neurons, what each set's texts lose by them, beside random ones."""
    result = engine.language_neurons(READER, SETS, by, does=does)
    rows = []
    for i, name in enumerate(result.names):
        cells = [
            f"{result.change[i, j]:+.3f} ({random.mean():+.3f} ± {random.std():.3f})"
            for j in range(len(result.names))
            for random in [result.control_change[:, i, j]]
        ]
        own = result.control_own_more[:, i]
        beats = "yes" if result.beats_controls[i] else "no"
        rows.append(
            f"| {SELECTED_BY[by]} | {name}, {len(result.neurons[i])} | {does} | "
            f"{' | '.join(cells)} | {result.own_more[i]:+.3f} ({own.mean():+.3f} ± "
            f"{own.std():.3f}) | {beats} |"
        )
    clean = ", ".join(
        f"{name} {np.exp(loss):.1f}" for name, loss in zip(SETS, result.clean, strict=True)
    )
    print(by, does, "clean perplexity", clean, flush=True)
    return rows


def page(ranked: list[str], between: list[str]) -> list[str]:
    """What is written."""
    return [
        "# Neurons an answer rests on, and neurons of a language",
        "",
        "`make neurons` writes this page, from the Neurons page's own questions.",
        "",
        f"All neurons estimated from one backward pass a prompt, then the first {EXACT} set to 0 "
        f"one by one, on {PAIRS} pairs of the style the model does best: the clean logit "
        f"difference, the {SHOWN} that take most of it (mean ± standard deviation over pairs), "
        f"and how the estimates of the {EXACT} go with their exact effects (Pearson's r, "
        "Spearman's ρ).",
        "",
        "| task | clean | change of the logit difference without | r, ρ |",
        "|---|---|---|---|",
        *ranked,
        "",
        f"{READER}, between {' and '.join(SETS)}: the 1% of neurons that are most selective on "
        "half of each set's prompts, silenced, or forced to what they are in their own set, while "
        "the other half is read. In cells the change of the loss, nats a token, and that of as "
        "many random neurons of the same layers (10 draws, mean ± standard deviation); own: how "
        "much more the set's own texts lose than the other's.",
        "",
        f"| selective by | set, neurons | done | {' | '.join(SETS)} | own | beats every draw |",
        f"|---|---|---|{'---|' * len(SETS)}---|---|",
        *between,
        "",
        "What this does not show: that a neuron carries one thing, or works alone; and the sets "
        "differ in what they say and how their words are cut as well as in their language.",
    ]


if __name__ == "__main__":
    main()
