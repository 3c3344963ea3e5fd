"""Runs in which something is added at an SAE's place, many beside each other: features less, or as
they are on average, or the SAE's error gone.

A row sets out from its prompt's baseline run at the layer of the SAE, and what is added there comes
before all that the experiment changes itself: a feature is the first of the changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import Tensor

from ..model.model import Model
from ..model.worker import Steps
from ..passes.growing import Base, Branch, base, base_cost, grown, grown_cost
from ..passes.hooks import Edit
from ..passes.pace import Pace
from ..passes.points import Capture
from ..scoring.metrics import STORED
from ..scoring.prompts import Prompt
from ..scoring.scorer import Scorer, score_cost
from ..scoring.waves import rows_at_once


@dataclass(frozen=True, eq=False)
class Shift:
    """A row: the prompt it is, by its index in the run; where, and what is added [pos d_out]."""

    text: int
    positions: tuple[int, ...]
    added: Callable[[], Tensor]


@dataclass(frozen=True, eq=False)
class Runs:
    """Prompts that share a pass: their baseline run, and the metric of their clean and baseline
    runs, [prompt]."""

    run: Base
    scorer: Scorer
    metric: str
    clean: np.ndarray
    given: np.ndarray


def runs_of(model: Model, pace: Pace, prompts: Sequence[Prompt], metric: str) -> Steps[Runs]:
    """Run prompts of one token count clean, and with what they carry anyway."""
    question = [p.target for p in prompts]
    ids, places = [q.ids for q in question], question[0].places
    run = yield from base(model, pace, ids, [()] * len(ids), places)
    scorer, own = Scorer(model, question, run), list(range(len(ids)))
    clean = given = (yield from scorer.score(pace, run.leaving, own))[STORED.index(metric)]
    if any(p.given for p in prompts):
        run = yield from base(model, pace, ids, [p.given for p in prompts], places, run.blocks)
        given = (yield from scorer.score(pace, run.leaving, own))[STORED.index(metric)]
    return Runs(run, scorer, metric, clean, given)


def runs_cost(pace: Pace, prompts: Sequence[Prompt]) -> float:
    """Operations of `runs_of`."""
    runs = 1 + any(p.given for p in prompts)
    scored = len(prompts) * score_cost(pace, prompts[0].target)
    return runs * (base_cost(pace, [p.target.ids for p in prompts]) + scored)


def shift_cost(pace: Pace, prompt: Prompt, layer: int) -> float:
    """Operations of one row that sets out at a layer."""
    return grown_cost(pace, layer, len(prompt.target.ids)) + score_cost(pace, prompt.target)


def run_shifted(
    model: Model,
    pace: Pace,
    runs: Runs,
    at: Capture,
    rows: Sequence[Shift],
    done: Callable[[Sequence[int], np.ndarray], None],
) -> Steps[None]:
    """Run rows, and hand over some at a time, by index, with their metric."""
    most, which = rows_at_once(model, runs.run.blocks.n_tokens), STORED.index(runs.metric)
    for start in range(0, len(rows), most):
        part = sorted(range(start, min(start + most, len(rows))), key=lambda i: rows[i].text)
        branches = [Branch(rows[i].text, _edit(at, rows[i])) for i in part]
        leaving = yield from grown(model, pace, runs.run, branches)
        numbers = yield from runs.scorer.score(pace, leaving, [rows[i].text for i in part])
        done(part, numbers[which])


def _edit(at: Capture, row: Shift) -> Edit:
    return Edit(*at, None, row.positions, 0.0, moves=partial(_plus, row.added))


def _plus(added: Callable[[], Tensor], x: Tensor) -> Tensor:
    return x.float() + added()
