"""`make steering`: what the ready examples of steering move, and what that costs.

For the bundled models and SmolLM2, each example's direction is added at every layer (of a deep
model twelve), and at the best of them the best coefficient within each of several damages is
searched; texts are generated with it. Writes docs/steering.md.
"""

from __future__ import annotations

from pathlib import Path

import engine

MODELS = ("seq-gpt2", "seq-llama", "smollm2-135m")
COEFFICIENTS = (-2.0, -1.0, 0.5, 1.0, 2.0, 4.0)
DRAWS, SEED = 19, 0
ALLOWED = (0.1, 0.5)
"""Nats a token of neutral text."""
PAGE = Path(__file__).resolve().parent.parent / "docs" / "steering.md"


def main() -> None:
    """Ask each model, and write."""
    lines = intro()
    for model in MODELS:
        lines += [f"## {model}", "", *HEAD]
        said: list[str] = []
        for name in engine.STEERING_EXAMPLES:
            rows, sentences = of_example(model, name)
            lines += rows
            said += sentences
        lines += ["", *said]
        print("\n".join(lines[-len(said) - 8 :]), flush=True)
    PAGE.write_text("\n".join(lines).rstrip() + "\n", "utf-8")


def intro() -> list[str]:
    """What is asked, in what words."""
    return [
        "# Steering",
        "",
        "`make steering` writes this page. A direction is made of runs of two kinds, “first second "
        "third fourth” less “1 2 3 4”, read at the last token in the middle layer; it is added at "
        "every token, times a coefficient, where the stream enters one layer. It is made of every "
        "other run and judged on the rest: after “2 3 4 5” the wanted answer is “ sixth”, its "
        "distractor what comes without, “ 6”.",
        "",
        "*Change* is that of logit(wanted) − logit(distractor), its mean ± standard deviation over "
        "prompts; *passes* the share of prompts in which the wanted answer passes the distractor, "
        "*first* in which it comes first of all tokens (where the tokenizer parts a space from a "
        "digit, that space is the token). The damage: *KL*(clean ‖ steered), nats a token, and "
        "perplexity on neutral text that ships (of the bundled models text of what they know: "
        "letters, dates, ages), and the accuracy on letters and weekdays (“A, B, C, D,”), which "
        "should stay. "
        f"Beside each stand {DRAWS} random directions of the same length at the same layer and "
        "coefficient: mean (least to greatest) of their change, and mean of their KL. The layer is "
        "the one at which the map has the greatest change within the KL allowed, the coefficient "
        "the best that a search finds there; layer and coefficient are chosen on the prompts they "
        "are judged by, the random directions' are not, so a small lead says nothing. *Repeated* "
        "is the share of 3-grams of tokens that come again in texts that go on from neutral "
        "beginnings: clean, steered, and random ones' mean.",
        "",
    ]


HEAD = [
    "| example | KL allowed | added | change | random | passes, first (clean) | KL; random | "
    "perplexity (clean) | letters and weekdays (clean) | repeated: clean, steered, random |",
    "|---|---|---|---|---|---|---|---|---|---|",
]


def of_example(model: str, name: str) -> tuple[list[str], list[str]]:
    """The rows of one example, and what is told besides."""
    example = engine.steering_example(name, model)
    e, pairs, called = example.experiment(model), example.pairs, example.direction.name
    swept = engine.steer(e, called, pairs, coefficients=COEFFICIENTS, controls=1, seed=SEED)
    rows, said = [], []
    for allowed in ALLOWED:
        best = swept.best(allowed)
        if best is None:
            rows.append(f"| {name} | {allowed} | nothing moves it |" + " |" * 7)
            continue
        layer = best[0]
        found = engine.best_coefficient(e, called, pairs, layer, allowed, controls=DRAWS, seed=SEED)
        rows.append(row_of(name, allowed, found))
        if allowed == ALLOWED[-1] and found.coefficient:
            said += sample(model, name, e, found)
    return rows, said


def row_of(name: str, allowed: float, found: engine.BestSteering) -> str:
    """One row of the table."""
    row = {key: value for key, value in found.row().items()}
    n = {key: float(str(row[key])) for key in row if key != "metric"}
    texts = engine.steered_texts(
        found.tried.experiment, found.tried.name, found.layer, found.coefficient, seed=SEED
    ).mean_repetition
    cells = [
        name,
        f"{allowed}",
        f"× {n['coefficient']:.2f} at r{found.layer}, {n['stream_share']:.2f} of the stream",
        f"{engine.signed(n['change'])} ± {n['spread']:.2f} of {engine.signed(n['clean'])}",
        f"{engine.signed(n['random_change_mean'])} ({engine.signed(n['random_change_least'])} to "
        f"{engine.signed(n['random_change_greatest'])})",
        f"{n['moved']:.0%}, {n['first']:.0%} of {n['n']:.0f} ({n['clean_moved']:.0%}, "
        f"{n['clean_first']:.0%})",
        f"{n['kl']:.3f}; {n['random_kl_mean']:.3f}",
        f"{n['perplexity']:.2f} ({n['clean_perplexity']:.2f})",
        f"{n['spared']:.0%} ({n['clean_spared']:.0%})",
        f"{texts[0]:.2f}, {texts[1]:.2f}, {texts[2:].mean():.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def sample(model: str, name: str, e: engine.Experiment, found: engine.BestSteering) -> list[str]:
    """How the model goes on after one of the prompts."""
    texts = engine.steered_texts(
        e, found.tried.name, found.layer, found.coefficient, e.prompt, 10, controls=1, seed=SEED
    )
    clean, steered, random = (engine.visible(text) for text in texts.texts[0])
    return [
        f"After `{e.prompt}`, {name}, × {found.coefficient:.2f} at r{found.layer}: clean "
        f"`{clean}`, steered `{steered}`, a random direction `{random}`.",
        "",
    ]


if __name__ == "__main__":
    main()
