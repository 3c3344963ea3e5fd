"""Steps of a generation as the plain data of the component that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import engine
from pages._parts.text import percent, token_text

MOST_STEPS = 1_000
"""Steps the browser is given, the last ones; the CSV holds them all."""


def shown_steps(steps: Sequence[engine.Step]) -> tuple[int, list[dict[str, Any]]]:
    """How many steps are left out in front, and the data of the others."""
    first = max(0, len(steps) - MOST_STEPS)
    return first, [step_data(step) for step in steps[first:]]


def step_data(step: engine.Step) -> dict[str, Any]:
    """One step: what was taken in each run, and its best tokens; of the unswitched one only where
    it is not the clean one."""
    return {
        "index": step.index,
        "parted": step.parted,
        "kl": None if step.kl is None else f"{step.kl:.3f}",
        "clean": _run(step.clean),
        "ablated": _run(step.ablated),
        "unswitched": None if step.unswitched is step.clean else _run(step.unswitched),
    }


def _run(run: engine.StepRun | None) -> dict[str, Any] | None:
    if run is None:
        return None
    top = run.top
    return {
        "id": run.token_id,
        "piece": run.token,
        "text": run.text,
        "token": run.token if run.ends or not run.text else token_text(run.text, run.token),
        "prob": round(run.prob, 6),
        "percent": percent(run.prob),
        "log_prob": round(run.log_prob, 4),
        "rank": f"{run.rank:,}",
        "entropy": f"{run.entropy:.3f}",
        "forced": run.forced,
        "ends": run.ends,
        "retokenizes": run.retokenizes,
        "rewritten": run.rewritten is not None,
        "top": [
            [
                int(top.ids[i]),
                top.tokens[i],
                token_text(top.texts[i], top.tokens[i]),
                round(float(top.probs[i]), 6),
                percent(float(top.probs[i])),
                int(top.moves[i]),
            ]
            for i in range(len(top.ids))
        ],
    }
