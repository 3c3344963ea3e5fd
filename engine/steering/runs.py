"""Rows that have a multiple of a direction, or of a random one as long, added to their stream.

A row is a prompt, or a neutral text, with one addition where the stream enters one layer: until
there it is the clean run, so it sets out from that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import EngineError, ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.sites import Stream
from ..model.model import Model
from ..model.worker import Steps
from ..passes.directions import made
from ..passes.growing import Base, Branch, base, base_cost, grown_cost
from ..passes.hooks import Edit
from ..passes.pace import Pace
from ..scoring.prompts import Prompt, read_prompts
from ..scoring.scorer import Scorer, score_cost, target_of
from ..scoring.waves import Scored, Scores, Wave, batches, run_waves, waves
from ..tasks.families import examples
from ..tasks.pairs import Pair, as_pairs, experiments
from .neutral import NeutralScorer, neutral_texts, read_texts

Addition = tuple[int, int]
"""Which direction is added, 0 the one asked about, from 1 on random ones, and by which of the
coefficients."""
_SPARED = ("letters", "weekdays")
_SPARED_EACH, _SPARED_STYLE = 4, "commas"
"""Tasks to be left alone where none are named, in the style that most models do best."""
Group = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Lines:
    """What is run: prompts whose wanted answers are scored, `n_wanted` of them, then those of tasks
    to be left alone, then neutral texts, from `n_scored` on. `spared`: the pairs left alone."""

    prompts: list[Prompt]
    n_wanted: int
    n_scored: int
    spared: tuple[Pair, ...]

    def held(self, model: Model) -> list[list[Group]]:
        """Lines (by index) that are held at once, in groups that share passes."""
        result = []
        for first, stop in ((0, self.n_scored), (self.n_scored, len(self.prompts))):
            for groups in batches(model, self.prompts[first:stop]):
                result.append([tuple(first + i for i in group) for group in groups])
        return result


def read_lines(
    model: Model,
    e: Experiment,
    pairs: Sequence[Pair] | None,
    spared: Sequence[Pair] | None,
    neutral: Sequence[str],
) -> Steps[Lines]:
    """Read all that is run. Where `spared` is None, prompts of letters and weekdays are, those that
    this model's tokenizer can write; without `neutral` texts, those that ship.

    Raises: EngineError in words for what cannot be read or scored.
    """
    wanted = yield from read_prompts(model, experiments(e, pairs), "prompt", False, set())
    other = _spared(model, e) if spared is None else tuple(spared)
    alone: list[Prompt] = []
    if other:
        alone = yield from read_prompts(
            model, experiments(_everywhere(e), other), "prompt", False, set()
        )
    texts = yield from read_texts(model, neutral or neutral_texts(model), e.prepend_bos)
    n = len(wanted)
    return Lines([*wanted, *alone, *texts], n, n + len(alone), other)


def _everywhere(e: Experiment) -> Experiment:
    """The same at all positions: those that are named are of the prompts that are steered."""
    return Experiment(e.model, vectors=e.vectors, prepend_bos=e.prepend_bos)


def _spared(model: Model, e: Experiment) -> tuple[Pair, ...]:
    result = []
    for family in _SPARED:
        for pair in as_pairs(examples(family, _SPARED_EACH, style=_SPARED_STYLE)):
            try:
                target_of(model, experiments(_everywhere(e), [pair])[0], "prompt")
            except EngineError:
                continue
            result.append(pair)
    return tuple(result)


def directions_added(
    model: Model, e: Experiment, name: str, draws: int, seed: int
) -> Steps[Float[Tensor, "direction d_model"]]:
    """The direction of that name, and random ones of its length, of independent normal numbers.

    Raises: EngineError for one that cannot be made, or is 0.
    """
    own = (yield from made(model, e.vector(name), e.prepend_bos)).values.float()
    length = float(own.double().norm() if own.device.type != "mps" else own.norm())
    if not length > 0:
        raise ExperimentError(
            f"The direction “{name}” is 0 on this model, so nothing can be added."
        )
    drawn = np.random.default_rng(seed).standard_normal((draws, len(own)))
    drawn *= length / np.linalg.norm(drawn, axis=1, keepdims=True)
    return torch.cat([own[None], torch.tensor(drawn, dtype=own.dtype, device=own.device)])


def waves_of(
    model: Model,
    lines: Lines,
    group: Group,
    added: Float[Tensor, "direction d_model"],
    coefficients: Sequence[float],
    additions: Mapping[int, Sequence[Addition]],
) -> list[Wave]:
    """The rows of a group: `additions` says which are made in which layer. A cell's number is that
    of its addition, `number_of`."""
    shared: dict[object, Edit] = {}

    def edit(layer: int, one: Addition, positions: tuple[int, ...]) -> Edit:
        key = (layer, one, positions)
        if key not in shared:
            draw, column = one
            value = coefficients[column] * added[draw]
            shared[key] = Edit("resid_pre", layer, None, positions, value, adds=True)
        return shared[key]

    def rows_of(layer: int) -> list[Scored]:
        return [
            (
                Branch(text, edit(layer, one, lines.prompts[i].positions)),
                (i, number_of(one, len(coefficients)), Stream(layer)),
            )
            for text, i in enumerate(group)
            for one in additions.get(layer, ())
        ]

    return waves(model, lines.prompts, group, rows_of)


def number_of(one: Addition, n_coefficients: int) -> int:
    """An addition as one number."""
    return one[0] * n_coefficients + one[1]


def begin_runs(
    model: Model, pace: Pace, lines: Lines, groups: Sequence[Group]
) -> Steps[dict[Group, tuple[Base, Scores]]]:
    """The clean runs of groups, and what scores rows that set out from them."""
    result: dict[Group, tuple[Base, Scores]] = {}
    for group in groups:
        targets = [lines.prompts[i].target for i in group]
        none: list[tuple[Edit, ...]] = [()] * len(group)
        run = yield from base(model, pace, [t.ids for t in targets], none, targets[0].places)
        scorer = Scorer if group[0] < lines.n_scored else NeutralScorer
        result[group] = run, scorer(model, targets, run)
        yield pace.share
    return result


def run_cost(pace: Pace, lines: Lines, planned: Mapping[Group, Sequence[Wave]]) -> float:
    """Operations of the clean runs and the waves of these groups."""
    total = 0.0
    for group, some in planned.items():
        targets = [lines.prompts[i].target for i in group]
        n, score = len(targets[0].ids), score_cost(pace, targets[0])
        total += base_cost(pace, [t.ids for t in targets]) + len(group) * score
        total += sum(grown_cost(pace, b.layer, n) + score for w in some for b in w.branches)
    return total


def run_held(
    model: Model,
    pace: Pace,
    lines: Lines,
    groups: Sequence[Group],
    parts: Sequence[Mapping[Group, Sequence[Wave]]],
    clean: Callable[[Group, Base, np.ndarray], None],
    done: Callable[[Wave, np.ndarray], None],
) -> Steps[None]:
    """Run groups that are held at once: their clean runs, whose scores go to `clean`, then the
    waves of each part in turn, whose scores go to `done`."""
    runs = yield from begin_runs(model, pace, lines, groups)
    for group, (run, scorer) in runs.items():
        clean(group, run, (yield from scorer.score(pace, run.leaving, list(range(len(group))))))
    for part in parts:
        rest = [wave for group in runs for wave in part.get(group, ())]
        yield from run_waves(model, pace, runs, rest, done)
