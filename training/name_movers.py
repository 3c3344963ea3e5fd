"""`make name-movers`: the heads of SmolLM2-135M-Instruct that bring the indirect object's name.

They are found by direct logit attribution on some prompts, and confirmed on others that were not
looked at: by the token whose value they bring, by patching their output at the end both ways, and
by switching them off beside random heads of the same layers. Writes docs/name-movers.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import engine

MODEL, FAMILY, PAIRS = "smollm2-135m", "indirect object", 12
CONTROLS = 20
LEAST, BROUGHT = 0.05, 0.5
"""A head that writes the answer writes at least this share of the logit difference. It is a name
mover if the token of the name it is to say brings at least this share of that, and a suppressor if
those of the other name do, against which it writes."""
SHOWN = 8
PAGE = Path(__file__).resolve().parent.parent / "docs" / "name-movers.md"


@dataclass(frozen=True)
class Told:
    """Of heads, means over pairs: `direct` [layer head_index] in logits; of those looked at closer,
    what the tokens of the answer and those of the distractor bring, and the attention these get."""

    direct: np.ndarray
    brought: dict[engine.Head, tuple[float, float]]
    attention: dict[engine.Head, tuple[float, float]]

    def kind(self, head: engine.Head, clean: float) -> str:
        """What a head does, of those that write the answer."""
        own, (answer, distractor) = self.direct[head.layer, head.head], self.brought[head]
        if own < LEAST * clean:
            return ""
        if answer >= BROUGHT * own:
            return "name mover"
        return "suppressor" if distractor >= BROUGHT * own else "other"


def main() -> None:
    """Find, confirm, write."""
    found_on = right(engine.task(FAMILY, MODEL, PAIRS))
    drawn = engine.fresh_task(found_on)
    assert drawn is not None
    fresh = right(drawn)
    direct = attributed(found_on, ()).direct
    best = engine.SiteGrid(direct, np.full(len(direct), np.nan), "direct", signed=True)
    shown = sorted(best.sites, key=lambda site: -best[site])[:SHOWN]
    heads = tuple(site for site in shown if isinstance(site, engine.Head))
    first, again = attributed(found_on, heads), attributed(fresh, heads)
    clean = engine.score_task(MODEL, found_on).clean.mean_logit_diff or 0.0
    kinds = {head: first.kind(head, clean) for head in heads}
    text = "\n".join([*intro(found_on, fresh), *parts(fresh, kinds, first, again)])
    PAGE.write_text(text + "\n", "utf-8")
    print(text)


def right(task: engine.Task) -> engine.Task:
    """The pairs that the model gets right."""
    return task.without_wrong(engine.score_task(MODEL, task))


def attributed(task: engine.Task, heads: tuple[engine.Head, ...]) -> Told:
    """The mean direct attribution of every head over a task, and of some what the name brings."""
    each: list[np.ndarray] = []
    brought: dict[engine.Head, list[np.ndarray]] = {head: [] for head in heads}
    attention: dict[engine.Head, list[np.ndarray]] = {head: [] for head in heads}
    for pair in task.pairs:
        e = engine.Experiment(MODEL, pair.prompt, answer=pair.answer, distractor=pair.distractor)
        each.append(engine.direct_attribution(e).clean.sites.heads)
        for head in heads:
            rows = engine.source_attribution(e, head).table()
            for of, column in ((brought, "clean"), (attention, "clean_attention")):
                names = (pair.answer, pair.distractor)
                sums = [sum(float(str(r[column])) for r in rows if r["text"] == n) for n in names]
                of[head].append(np.array(sums))
    return Told(np.mean(each, axis=0), _means(brought), _means(attention))


def _means(of: dict[engine.Head, list[np.ndarray]]) -> dict[engine.Head, tuple[float, float]]:
    return {head: tuple(map(float, np.mean(some, axis=0))) for head, some in of.items()}  # type: ignore[misc]


def intro(found_on: engine.Task, fresh: engine.Task) -> list[str]:
    """What was asked of what."""
    pair = fresh.pairs[0]
    return [
        "# The indirect object in SmolLM2",
        "",
        "`make name-movers` writes this page. SmolLM2-135M-Instruct (30 layers of 9 heads over 3, "
        f"4-bit weights) is asked which name comes next, as in “{pair.prompt}” →{pair.answer}, not"
        f"{pair.distractor}. In the corrupted prompts another name gives: “{pair.corrupted}”.",
        "",
        f"Heads are found by direct logit attribution on {len(found_on.pairs)} prompts, and looked "
        f"at again on {len(fresh.pairs)} others. Of those that write at least {LEAST:.0%} of the "
        f"logit difference, a *name mover* is one of which the token of the name it is to say "
        f"brings at least {BROUGHT:.0%}, and a *suppressor* one of which the other name's tokens "
        "do: it writes against that name.",
        "",
    ]


def parts(
    fresh: engine.Task,
    kinds: dict[engine.Head, str],
    first: Told,
    again: Told,
) -> list[str]:
    """The heads one by one, and together."""
    e = engine.Experiment(MODEL, positions="-1")
    noise, denoise = (
        engine.patch(e, fresh.pairs, "z", way).shown("share")[0] for way in ("noise", "denoise")
    )
    off = engine.sweep(engine.Experiment(MODEL, method="mean"), fresh.pairs).change("heads")
    clean = engine.score_task(MODEL, fresh).clean.mean_logit_diff or 0.0
    unseen = np.argsort(-noise.ravel())[:SHOWN]
    others = [
        head
        for head in (engine.Head(*map(int, divmod(i, noise.shape[1]))) for i in unseen)
        if head not in kinds and noise[head.layer, head.head] >= LEAST
    ]
    lines = [
        f"Clean logit difference on the fresh prompts: {clean:+.2f}. In logits: what a head writes "
        "towards the answer by itself (direct), and how the logit difference changes with it set "
        "to its mean (off). Shares: of the way between the clean and the corrupted run when its "
        "output at the last token is exchanged, noising and denoising.",
        "",
        "| head | | direct, where found | direct, fresh | brought by the name, by the other | "
        "attention to them | noise | denoise | off |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for head, kind in kinds.items():
        at = head.layer, head.head
        brought, attention = again.brought[head], again.attention[head]
        lines.append(
            f"| {head} | {kind} | {first.direct[at]:+.2f} | {again.direct[at]:+.2f} | "
            f"{brought[0]:+.2f}, {brought[1]:+.2f} | {attention[0]:.2f}, {attention[1]:.2f} | "
            f"{noise[at]:.0%} | {denoise[at]:.0%} | {off[at]:+.2f} |"
        )
    lines.append("")
    if others:
        told = ", ".join(
            f"{h} ({again.direct[h.layer, h.head]:+.2f} direct, {noise[h.layer, h.head]:.0%} and "
            f"{denoise[h.layer, h.head]:.0%} patched, {off[h.layer, h.head]:+.2f} off)"
            for h in others
        )
        lines += [
            f"Patched at the last token these matter too, and write little themselves: {told}. "
            "They act through later heads, which attribution does not see.",
            "",
        ]
    return [*lines, *together(fresh, kinds)]


def together(fresh: engine.Task, kinds: dict[engine.Head, str]) -> list[str]:
    """Sets of these heads patched at the end, and off, at once; off beside random heads."""
    shape = engine.load(MODEL).shape
    movers = tuple(head for head, kind in kinds.items() if kind == "name mover")
    against = tuple(head for head, kind in kinds.items() if kind == "suppressor")
    every = tuple(head for head, kind in kinds.items() if kind)
    sets = {"name movers": movers, "with suppressors": (*movers, *against), "all that write": every}
    clean = left(fresh, ())
    lines = [
        "Together: the logit difference with a set patched from the corrupted run at the last "
        "token, and with it set to its means at all, beside random sets of as many heads of any "
        f"layer ({CONTROLS} of each size, seed 0); clean it is {clean:+.2f}.",
        "",
        "| set | heads | patched | off | random sets off: mean, least to most | costs more than |",
        "|---|---|---|---|---|---|",
    ]
    for name, sites in sets.items():
        own = left(fresh, sites)
        drawn = engine.random_controls(sites, shape, CONTROLS, 0, layer_matched=False)
        like = [left(fresh, some) for some in drawn]
        lines.append(
            f"| {name} | {', '.join(map(str, sites))} | "
            f"{left(fresh, sites, 'resample', '-1'):+.2f} | {own:+.2f} | {np.mean(like):+.2f}, "
            f"{min(like):+.2f} to {max(like):+.2f} | {sum(own < x for x in like)} of {len(like)} |"
        )
    return [
        *lines,
        "",
        "What this does not show: heads that stand in for each other, and other prompts than "
        "these templates.",
    ]


def left(
    fresh: engine.Task, sites: tuple[engine.Site, ...], method: str = "mean", where: str = "all"
) -> float:
    """The mean logit difference with these changed."""
    e = engine.Experiment(
        MODEL,
        ablations=engine.Ablations(sites),
        method=method,
        positions=where,
        references=fresh.references,
    )
    score = engine.score_task(MODEL, fresh, e)
    result = (score.ablated or score.clean).mean_logit_diff
    assert result is not None
    return result


if __name__ == "__main__":
    main()
