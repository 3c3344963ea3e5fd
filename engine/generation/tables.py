"""Results of generation as rows of plain values, as a CSV holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .results import ManyRow, Run, RunTotals, Step

Rows = list[dict[str, object]]


def step_table(steps: Iterable[Step]) -> Rows:
    """Steps of a generation: of each run the token taken, then the best there were.

    Returns: one row a token; `kind` is “taken” or “top”, and what belongs to the step as a whole
    (entropy and KL divergence in nats, whether the runs have parted) stands with the token taken.
    `move`: how many places it stands higher than in the clean run, and there than in the ablated.
    """
    rows: Rows = []
    for step in steps:
        for name in ("clean", "ablated", "unswitched"):
            run = getattr(step, name)
            if run is None:
                continue
            blank = dict.fromkeys(
                ("entropy", "kl", "parted", "forced", "ends", "retokenizes", "rewritten", "note"),
                "",
            )
            rows.append(
                {
                    "step": step.index,
                    "run": name,
                    "kind": "taken",
                    "rank": int(run.rank),
                    "token_id": run.token_id,
                    "piece": run.token,
                    "text": run.text,
                    "log_prob": run.log_prob,
                    "prob": run.prob,
                    "move": "",
                    "entropy": run.entropy,
                    "kl": "" if step.kl is None else float(step.kl),
                    "parted": step.parted,
                    "forced": run.forced,
                    "ends": run.ends,
                    "retokenizes": run.retokenizes,
                    "rewritten": " ".join(map(str, run.rewritten or ())),
                    "note": run.note,
                }
            )
            top = run.top
            rows += [
                {
                    "step": step.index,
                    "run": name,
                    "kind": "top",
                    "rank": int(top.ranks[i]),
                    "token_id": int(top.ids[i]),
                    "piece": top.tokens[i],
                    "text": top.texts[i],
                    "log_prob": float(top.log_probs[i]),
                    "prob": float(top.probs[i]),
                    "move": int(top.moves[i]),
                    **blank,
                }
                for i in range(len(top.ids))
            ]
    return rows


def many_table(runs: Sequence[Run], rows: Iterable[ManyRow]) -> Rows:
    """Many prompts in every run: one row a prompt and run, prompts in their order."""
    return [
        {
            "prompt": row.index,
            "text": row.prompt,
            "answer": row.answer,
            "seed": row.seed,
            "run": run.name,
            "ablations": run.ablations,
            "control_of": run.control_of,
            "generated": "" if one is None else one.text,
            "ids": "" if one is None else " ".join(map(str, one.ids)),
            "log_prob": "" if one is None else one.log_prob,
            "right": "" if one is None or one.right is None else one.right,
            "ended": "" if one is None else one.ended,
            "parts_at": "" if one is None or one.parts_at is None else one.parts_at,
            "retokenizes": "" if one is None else one.retokenizes,
            "note": "" if one is None else one.note,
            "error": error,
        }
        for row in sorted(rows, key=lambda row: row.index)
        for run, one, error in zip(runs, row.continuations, row.errors, strict=True)
    ]


def totals_table(totals: Iterable[RunTotals]) -> Rows:
    """What each run came to: one row a run; shares from 0 to 1, empty where nothing was judged."""
    return [
        {
            "run": t.run.name,
            "ablations": t.run.ablations,
            "control_of": t.run.control_of,
            "judged": t.judged,
            "right": t.right,
            "share_right": "" if t.share_right is None else t.share_right,
            "compared": t.compared,
            "share_same": "" if t.share_same is None else t.share_same,
        }
        for t in totals
    ]
