"""`make searches`: whether searches agree, over seeds and with each other, and their faithfulness.

For the bundled models and SmolLM2, in the style each does best. Writes docs/searches.md.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import engine

BY = ("pruning", "greedy", "gradient", "nap-ig", "eap-ig")
ASKED: tuple[tuple[str, str, tuple[str, ...], int], ...] = (
    ("seq-gpt2", "numerals", BY, 10),
    ("seq-gpt2", "months", BY, 10),
    ("seq-llama", "numerals", BY, 10),
    ("seq-llama", "months", BY, 10),
    ("smollm2-135m", "numerals", ("pruning", "gradient", "nap-ig", "eap-ig"), 5),
)
"""Model, family, searches, how many seeds each."""
PAIRS, RANDOM = 12, 3
PAGE = Path(__file__).resolve().parent.parent / "docs" / "searches.md"

Two = dict[tuple[str, str], list[tuple[float, float, float]]]


def main() -> None:
    """Search, compare, write, as each task is done."""
    stable, agree, faithful = [], [], []
    for model, family, by, runs in ASKED:
        task = drawn(model, family)
        many = {one: engine.discover_many(task, model, by=one, runs=runs, controls=0) for one in by}
        stable += [stability(model, task, one, many[one]) for one in by]
        agree += list(agreement(model, task, many))
        faithful += list(curves(model, task, many))
        PAGE.write_text("\n".join(page(stable, agree, faithful)) + "\n", "utf-8")
        print(f"{model}, {task.name}: written", flush=True)


def drawn(model: str, family: str) -> engine.Task:
    """The family's task in the style the model does best."""
    style = engine.score_styles(model, (family,), PAIRS).best(family)
    assert style is not None
    return engine.task(family, model, PAIRS, style=style)


def stability(model: str, task: engine.Task, by: str, many: engine.DiscoveredMany) -> str:
    """A row: one search over seeds."""
    kept = many.faithfulness
    where = "fresh" if all(one.fresh for one in many.runs) else "its own"
    return (
        f"| {model}, {task.name} | {by} | {many.n} | {many.mark} | {many.jaccard:.2f}, "
        f"{many.chance:.2f} | {np.nanmean(many.spearman):+.2f} | {many.sizes.mean():.1f} ± "
        f"{many.sizes.std():.1f} | {np.nanmean(kept):.0%} ± {np.nanstd(kept):.0%}, {where} |"
    )


def agreement(
    model: str, task: engine.Task, many: dict[str, engine.DiscoveredMany]
) -> Iterator[str]:
    """Rows: every two searches on the same pairs, means over seeds."""
    rows: Two = defaultdict(list)
    names = list(itertools.combinations(many, 2))
    for runs in zip(*(one.runs for one in many.values()), strict=False):
        for two, row in zip(names, engine.agreement_of_searches(runs).table(), strict=True):
            spearman, jaccard, chance = (
                float(str(row[name])) for name in ("spearman", "jaccard", "chance")
            )
            rows[two].append((spearman, jaccard, chance))
    for (a, b), each in rows.items():
        (spearman, jaccard, chance), spread = np.mean(each, axis=0), np.std(each, axis=0)
        yield (
            f"| {model}, {task.name} | {a}, {b} | {spearman:+.2f} ± {spread[0]:.2f} | "
            f"{jaccard:.2f} ± {spread[1]:.2f} | {chance:.2f} |"
        )


def curves(model: str, task: engine.Task, many: dict[str, engine.DiscoveredMany]) -> Iterator[str]:
    """Rows: CPR and CMD of rankings of nodes and of edges, beside random ones."""
    e = engine.Experiment(model)
    swept = engine.sweep(engine.Experiment(model, method="resample"), task.pairs)
    rankings: dict[str, engine.Ranked] = {
        "NAP-IG": engine.rank_members(engine.node_attribution(e, task.pairs)),
        "sweep": engine.rank_members(swept),
        **{
            one: engine.rank_members(many[one].runs[0])
            for one in ("pruning", "greedy")
            if one in many
        },
        "EAP-IG": engine.rank_members(engine.edge_attribution(e, task.pairs)),
    }
    for name, ranking in rankings.items():
        curve = engine.faithfulness_curve(ranking, task, controls=RANDOM)
        by_chance = (curve.control_areas(of) for of in ("cpr", "cmd"))
        cpr, cmd = (f"{some.mean():.2f} ± {some.std():.2f}" for some in by_chance)
        yield (
            f"| {model}, {task.name} | {name} | {curve.n_members:,} {curve.ranked.level} | "
            f"{curve.cpr():.3f} | {cpr} | {curve.cmd():.3f} | {cmd} |"
        )


def page(stable: list[str], agree: list[str], faithful: list[str]) -> list[str]:
    """What is written."""
    return [
        "# Searches compared",
        "",
        f"`make searches` writes this page. Each search is run on {PAIRS} pairs drawn with other "
        "seeds, at most 20% of the logit difference lost, everything else set to its mean by "
        "position; the style is the one the model does best. Stable, mixed or unstable is as in "
        "[words.md](words.md): from the circuits' Jaccard index beside that of random circuits "
        "of their sizes, and from how many nodes nearly all runs keep. ρ is Spearman's, of what "
        "two runs say of each node. Families with few prompts draw nearly the same pairs again, "
        "which makes them look stable. Greedy search tries all that is left before each node that "
        "goes, some 45,000 trials a seed on SmolLM2 where pruning makes 400, and is not run there.",
        "",
        "| task | search | seeds | mark | Jaccard, by chance | ρ between seeds | nodes | keeps, "
        "judged on |",
        "|---|---|---|---|---|---|---|---|",
        *stable,
        "",
        "Searches with each other, on the same pairs, means over seeds ± standard deviation:",
        "",
        "| task | searches | ρ | Jaccard | by chance |",
        "|---|---|---|---|---|",
        *agree,
        "",
        "How faithful the first .1 to 100% of a ranking are, everything else as in the corrupted "
        f"run: CPR and CMD as in the MIB benchmark, beside {RANDOM} random rankings (mean ± "
        "standard deviation). Of a search, nodes that went first are ranked last.",
        "",
        "| task | ranked by | of | CPR, more is better | random | CMD, less is better | random |",
        "|---|---|---|---|---|---|---|",
        *faithful,
        "",
        "What this does not show: that what searches agree on is right, as all may be misled by "
        "the same pairs; and other thresholds.",
    ]


if __name__ == "__main__":
    main()
