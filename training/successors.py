"""`make successors`: which heads say the next word, by their weights, and whether that matters.

For the bundled models and SmolLM2: successor scores over lists of words, the heads that lists
share, the sweep of every head on the same words in the style the model does best, and the heads
together, off, beside random ones. Of SmolLM2 also circuits and what they share. Writes
docs/successor-heads.md.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

import engine

from .circuits import Found, told

MODELS = ("seq-gpt2", "seq-llama", "smollm2-135m")
FAMILIES = {
    "numerals": "numerals",
    "number words": "number words",
    "months": "months",
    "weekdays": "weekdays",
    "ordinals": "ordinal words",
    "letters": "letters",
}
"""List of words → the task family that continues it."""
CROSSED = (
    ("numerals", "number words"),
    ("number words", "numerals"),
    ("months", "ordinals"),
    ("number words", "ordinals"),
)
SEARCHED = ("smollm2-135m", ("numerals", "number words", "months"))
PAIRS, CONTROLS, SHOWN = 12, 20, 3
PAGE = Path(__file__).resolve().parent.parent / "docs" / "successor-heads.md"


@dataclass(frozen=True)
class Listed:
    """A model's heads on one list of words, by the weights. `above`: those above chance."""

    name: str
    scores: engine.OVScores

    @cached_property
    def rows(self) -> list[dict[str, object]]:
        return [dict(row) for row in self.scores.table(1)]

    @property
    def above(self) -> tuple[engine.Head, ...]:
        least = self.scores.above_chance(1)
        return tuple(heads_of(r) for r in self.rows if float(str(r["score"])) >= least)


def heads_of(row: dict[str, object]) -> engine.Head:
    """The head that a row is of."""
    return engine.Head(int(str(row["layer"])), int(str(row["head"])))


def main() -> None:
    """Ask each model, and write."""
    lines = intro()
    for model in MODELS:
        lists, refused = listed(model)
        lines += [f"## {model}", "", *by_weights(model, lists, refused), *shared(model, lists)]
        lines += crossed(model)
        lines += in_use(model, lists)
    lines += circuits(*SEARCHED)
    PAGE.write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


def intro() -> list[str]:
    """What is asked, in what words."""
    return [
        "# Successor heads",
        "",
        "`make successors` writes this page. A *successor head* raises the next word of a list "
        "when it looks at one (Gould et al. 2023): its score is the share of words of which the "
        "next is among the five tokens it raises most, by the weights alone (layer 0, the head's "
        "norm, W_V, W_O, final norm, unembedding). *Other words* is how often it raises the list's "
        "other words so: a head that raises any of them has both. *Above chance* is a score that "
        "none of all heads reaches with tokens raised at random but once in twenty times.",
        "",
        "A score does not say that a head is used. So each list is also a task, in the style the "
        f"model does best (of {PAIRS} prompts those it gets right), on which every head is "
        "switched off alone, set to its mean: Spearman's ρ is between the successor score and how "
        "much the answer loses, over all heads, once as logit(answer) − logit(distractor), the "
        "distractor being the last word shown, and once as the answer's log-probability. All heads "
        f"above chance are then switched off at once, beside up to {CONTROLS} sets of as many "
        "random heads of the same layers (mean, least to most; few where the layers have few "
        "others, of any layer where they have none).",
        "",
    ]


def listed(model: str) -> tuple[dict[str, Listed], list[str]]:
    """The scores of every list that can be scored, and why others cannot."""
    result, refused = {}, []
    for name in FAMILIES:
        try:
            result[name] = Listed(name, engine.ov_scores(model, name))
        except engine.EngineError as wrong:
            refused.append(f"{name}: {wrong}")
    return result, refused


def by_weights(model: str, lists: dict[str, Listed], refused: list[str]) -> list[str]:
    """The best heads of every list."""
    lines = [
        "| list | words scored | by chance; above it from | best heads: score (other words) | "
        "heads above chance |",
        "|---|---|---|---|---|",
    ]
    for name, one in lists.items():
        best = ", ".join(
            f"{r['site']} {percent(r['score'])} ({percent(r['others'])})" for r in one.rows[:SHOWN]
        )
        scores = one.scores
        lines.append(
            f"| {name} | {scores.n(1)} | {scores.chance:.2%}; {scores.above_chance(1):.0%} | "
            f"{best} | {names(one.above)} |"
        )
    notes = [f"{name}: {note}" for name, one in lists.items() for note in one.scores.notes]
    return [*lines, "", *([" ".join([*notes, *refused]), ""] if notes or refused else [])]


def shared(model: str, lists: dict[str, Listed]) -> list[str]:
    """Which heads are above chance in several lists, beside how many would be by chance."""
    n = len(engine.load(model).shape.heads)
    lines = []
    for a, b in itertools.combinations(lists.values(), 2):
        both = [head for head in a.above if head in b.above]
        if both:
            lines.append(
                f"{a.name} and {b.name} share {names(both)} ({len(a.above) * len(b.above) / n:.2f} "
                "by chance)"
            )
    told = "; ".join(lines) if lines else "no two lists share a head above chance"
    return [f"Shared: {told}.", ""]


def crossed(model: str) -> list[str]:
    """The best head from one list to another."""
    told = []
    for words, into in CROSSED:
        try:
            scores = engine.ov_scores(model, words, into)
        except engine.EngineError:
            continue
        best = scores.table(0)[0]
        if float(str(best["score"])) >= scores.above_chance(0):
            told.append(
                f"{words} to {into}: {best['site']} {percent(best['score'])} of {scores.n(0)} "
                f"(other words {percent(best['others'])})"
            )
        else:
            told.append(f"{words} to {into}: none above chance")
    return [f"From one list to another, best heads: {'; '.join(told)}.", ""]


def in_use(model: str, lists: dict[str, Listed]) -> list[str]:
    """Each list as a task: what the sweep says of its successor heads."""
    families = tuple(FAMILIES[name] for name in lists)
    styles = engine.score_styles(model, families, PAIRS)
    lines = [
        "| task, style | right | clean | most lost by | ρ, logit difference | ρ, log-probability | "
        "best successor, its place in the sweep | all above chance off; random heads |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, one in lists.items():
        family = FAMILIES[name]
        style = styles.best(family)
        if style is None:
            lines.append(f"| {family} | none in any style | | | | | | |")
            continue
        task = engine.task(family, model, PAIRS, style=style)
        clean = engine.score_task(model, task).clean
        kept = task.without_wrong(engine.score_task(model, task))
        swept = engine.sweep(engine.Experiment(model, method="mean"), kept.pairs)
        lost = -swept.change("heads")
        unsaid = -(swept.mean("heads", "log_prob") - swept.mean("clean", "log_prob"))
        order = [head for head in np.argsort(-lost, axis=None) if np.isfinite(lost.flat[head])]
        width = lost.shape[1]
        most = ", ".join(
            f"{head // width}.{head % width} {-lost.flat[head]:+.2f}" for head in order[:SHOWN]
        )
        best = heads_of(one.rows[0])
        place = order.index(best.layer * width + best.head) + 1
        score = one.scores.score(1)
        lines.append(
            f"| {family}, {style} | {clean.right.sum()} of {PAIRS} | "
            f"{engine.score_task(model, kept).clean.mean_logit_diff:+.2f} | {most} | "
            f"{rank_correlation(score, lost)} | {rank_correlation(score, unsaid)} | "
            f"{best}, {place} of {len(order)} | {together(model, kept, one.above)} |"
        )
    n = sum(np.isfinite(next(iter(lists.values())).scores.score(1)).ravel())
    return [
        *lines,
        "",
        f"By chance ρ lies within ±{1.96 / (n - 1) ** 0.5:.2f} nineteen times in twenty "
        f"({n} heads).",
        "",
    ]


def circuits(model: str, families: tuple[str, ...]) -> list[str]:
    """A model's circuits for some families in the style it does best, and what they share."""
    styles = engine.score_styles(model, families, PAIRS)
    found: Found = {}
    for family in families:
        style = styles.best(family)
        assert style is not None
        task = engine.task(family, model, PAIRS, style=style)
        task = task.without_wrong(engine.score_task(model, task))
        fresh = engine.fresh_task(task)
        if fresh is not None:
            clean = engine.score_task(model, fresh)
            fresh = fresh.without_wrong(clean) if clean.clean.right.any() else None
        one = engine.discover(
            task, model, by="nap-ig", threshold=0.2, controls=CONTROLS, fresh=fresh
        )
        found[task.name] = fresh or task, one
    return [
        f"## Circuits of {model}",
        "",
        "Searched by NAP-IG on the pairs it gets right, at most 20% of the logit difference lost, "
        "everything else set to its mean by position; judged on others that it gets right too, "
        "where the family has such, beside random circuits.",
        "",
        *told(model, found)[2:],
    ]


def together(model: str, task: engine.Task, heads: tuple[engine.Head, ...]) -> str:
    """The logit difference without these heads, beside as many random ones of their layers."""
    if not heads:
        return "none above chance"
    shape = engine.load(model).shape
    try:
        drawn = engine.random_controls(heads, shape, CONTROLS, 0, layer_matched=True)
    except engine.EngineError:
        drawn = engine.random_controls(heads, shape, CONTROLS, 0, layer_matched=False)
    own, like = left(model, task, heads), [left(model, task, some) for some in drawn]
    return f"{own:+.2f}; {np.mean(like):+.2f} ({min(like):+.2f} to {max(like):+.2f})"


def left(model: str, task: engine.Task, sites: tuple[engine.Site, ...]) -> float:
    """The mean logit difference with these set to their means."""
    e = engine.Experiment(
        model, ablations=engine.Ablations(sites), method="mean", references=task.references
    )
    score = engine.score_task(model, task, e)
    assert score.ablated is not None and score.ablated.mean_logit_diff is not None
    return score.ablated.mean_logit_diff


def rank_correlation(a: np.ndarray, b: np.ndarray) -> str:
    """Spearman's ρ over all heads, or why there is none."""
    known = np.isfinite(a) & np.isfinite(b)
    a, b = ranks(a[known]), ranks(b[known])
    if a.std() == 0 or b.std() == 0:
        return "all scores alike"
    return f"{np.corrcoef(a, b)[0, 1]:+.2f}"


def ranks(values: np.ndarray) -> np.ndarray:
    """Places in order, equal values sharing the mean of theirs."""
    _, at, n = np.unique(values, return_inverse=True, return_counts=True)
    result: np.ndarray = (np.cumsum(n) - (n - 1) / 2)[at]
    return result


def names(heads: list[engine.Head] | tuple[engine.Head, ...]) -> str:
    return ", ".join(map(str, heads)) or "none"


def percent(share: object) -> str:
    return f"{float(str(share)):.0%}"


if __name__ == "__main__":
    main()
