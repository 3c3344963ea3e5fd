"""Every head and every MLP ablated alone, over one prompt or many: which of them matter?

The baseline is the clean run, or, where an experiment changes something already, the run with all
of that: what matters once it is so. A site joins the experiment's `ablations`, as one more of them:
what `changes` do comes after it. Means are taken once, rows set out late from the baseline's own
residual stream, and every number is what `next_token` gives with that one site ablated as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..asking import ask
from ..attribution.estimate import estimate_cost, estimated
from ..errors import ExperimentError
from ..experiment.experiment import Experiment, check_experiment
from ..experiment.question import Question
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes.growing import Base, base, base_cost, grown_cost
from ..passes.pace import Pace
from ..scoring.prompts import Prompt, read_prompts, references_of
from ..scoring.scorer import Scorer, score_cost
from ..scoring.waves import Wave, batches, run_waves
from ..tasks.pairs import Pair, as_pairs, experiments
from .arrays import SweepArrays, estimated_metric
from .plan import idle_sites, swept
from .results import SweepResult


@dataclass(frozen=True)
class Sweep(Question[SweepResult, SweepResult]):
    """Every head and every MLP ablated alone, with the experiment's method and positions, on top
    of its ablations and changes if it has any.

    `pairs`: the prompts (None: the experiment's own). `mean` and `mean_by_position` average over
    the experiment's references, else over the pairs' corrupted prompts; `resample` takes each
    pair's own. `per_position`: each site at each of the prompt's positions alone. `estimate`: a
    first-order estimate comes first. `at`: where the divergence is measured, as in `next_token`.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "sweep"
    n_plain = 2
    e: Experiment
    pairs: tuple[Pair, ...] | None = None
    per_position: bool = False
    estimate: bool = False
    at: str = "prompt"

    def __post_init__(self) -> None:
        check_experiment(self.e)
        if self.pairs is not None:
            object.__setattr__(self, "pairs", as_pairs(self.pairs))
        if self.at not in ("prompt", "answer"):
            raise ExperimentError(
                f"The divergence is measured at the prompt or the answer, not at “{self.at!s:.40}”."
            )
        if self.per_position and self.e.positions.which == "generated":
            raise ExperimentError(
                "Positions are “generated”, and position by position means the prompt's own: "
                "choose all, prompt, or some of them."
            )

    @property
    def model_name(self) -> str:
        return self.e.model

    def answered(self, model: Model) -> Answer[SweepResult, SweepResult]:
        """Snapshots of the sweep, each with all that is known by then; the last has everything."""
        return self._answer(model, None)

    def answered_after(self, model: Model, so_far: SweepResult) -> Answer[SweepResult, SweepResult]:
        """The same, without what is known of it so far. Raises: ExperimentError for what is known
        of another sweep."""
        asked = (self.e, self.per_position, self.at)
        known = (so_far.experiment, so_far.positions is not None, so_far.at)
        if asked != known or so_far.pairs != self._pairs:
            raise ExperimentError("What is known so far is of another sweep.")
        return self._answer(model, so_far)

    @property
    def _pairs(self) -> tuple[Pair, ...]:
        if self.pairs is not None:
            return self.pairs
        return (Pair(self.e.prompt, self.e.corrupted, self.e.answer, self.e.distractor),)

    def _answer(self, model: Model, so_far: SweepResult | None) -> Answer[SweepResult, SweepResult]:
        e, pairs = self.e, self.pairs
        each = experiments(e, pairs)
        model.check_way("block by block", "sweep")
        empty = SweepArrays(e, self._pairs, self.at, self.per_position, self.estimate)
        return Answer(lambda put: _steps(model, empty, each, so_far, put))


def sweep(
    e: Experiment,
    pairs: Sequence[Pair] | None = None,
    per_position: bool = False,
    estimate: bool = False,
    at: str = "prompt",
    view: str | None = None,
) -> SweepResult:
    """Ask `Sweep` and wait for the end. Raises: EngineError in words."""
    given = None if pairs is None else as_pairs(pairs)
    return ask(Sweep(e, given, per_position, estimate, at), view)


def _steps(
    model: Model,
    result: SweepArrays,
    each: Sequence[Experiment],
    so_far: SweepResult | None,
    put: Callable[[SweepResult], None],
) -> Steps[SweepResult]:
    pace = Pace(model)
    yield 0.0
    prompts = yield from read_prompts(model, each, result.at, result.per_position)
    result.begin(model, prompts, references_of(each), so_far)
    held = list(batches(model, prompts))
    planned = {
        tuple(group): swept(model, prompts, group, result.per_position)
        for groups in held
        for group in groups
    }
    left = result.left(planned)
    pace.total = _total(pace, prompts, planned, planned if result.estimate else ())
    guessed = planned if result.estimate and not result.has_estimate else {}
    pace.skip(pace.total - _total(pace, prompts, left, guessed))
    if guessed:
        for group in guessed:
            some = [prompts[i] for i in group]
            heads, mlps = yield from estimated(model, pace, some, estimated_metric(prompts))
            result.fill_estimate(prompts, list(group), heads, mlps)
        put(result.snapshot(pace, pace.share))
    for groups in held:
        rest = [group for group in groups if tuple(group) in left]
        yield from _batch(model, pace, result, prompts, rest, left, put)
    whole = result.snapshot(pace, 1.0)
    put(whole)
    return whole


def _batch(
    model: Model,
    pace: Pace,
    result: SweepArrays,
    prompts: list[Prompt],
    groups: list[list[int]],
    planned: Mapping[tuple[int, ...], list[Wave]],
    put: Callable[[SweepResult], None],
) -> Steps[None]:
    """Prompts that are held together: their runs, then their rows, the last layers' first."""
    runs: dict[tuple[int, ...], tuple[Base, Scorer]] = {}
    for group in groups:
        run, scorer = yield from _runs(model, pace, result, prompts, group)
        runs[tuple(group)] = run, scorer
    put(result.snapshot(pace, min(pace.share, 0.999)))

    def done(wave: Wave, numbers: np.ndarray) -> None:
        result.fill(wave, numbers)
        put(result.snapshot(pace, min(pace.share, 0.999)))

    some = [wave for group in groups for wave in planned[tuple(group)]]
    yield from run_waves(model, pace, runs, some, done)


def _runs(
    model: Model,
    pace: Pace,
    result: SweepArrays,
    prompts: list[Prompt],
    group: list[int],
) -> Steps[tuple[Base, Scorer]]:
    """The clean run of a group, and the one with what is given, both scored."""
    question = [prompts[i].target for i in group]
    ids, places = [q.ids for q in question], question[0].places
    clean = yield from base(model, pace, ids, [()] * len(ids), places)
    scorer = Scorer(model, question, clean)
    own = list(range(len(ids)))
    scores = yield from scorer.score(pace, clean.leaving, own)
    run, of_run = clean, scores
    if any(prompts[i].given for i in group):
        given = [prompts[i].given for i in group]
        run = yield from base(model, pace, ids, given, places, clean.blocks)
        of_run = yield from scorer.score(pace, run.leaving, own)
    result.fill_runs(group, scores, of_run, idle_sites(model, prompts[group[0]]))
    return run, scorer


def _total(
    pace: Pace,
    prompts: list[Prompt],
    planned: Mapping[tuple[int, ...], list[Wave]],
    guessed: Iterable[tuple[int, ...]],
) -> float:
    """Operations of the runs and waves of these groups, and of estimates for those."""
    total = sum(estimate_cost(pace, [prompts[i] for i in group]) for group in guessed)
    for group, each in planned.items():
        some = [prompts[i] for i in group]
        question = some[0].target
        runs = 1 + any(p.given for p in some)
        total += runs * base_cost(pace, [p.target.ids for p in some])
        total += runs * len(some) * score_cost(pace, question)
        for wave in each:
            for branch in wave.branches:
                total += grown_cost(pace, branch.layer, len(question.ids)) + score_cost(
                    pace, question
                )
    return total
