"""Activation patching: a value of one run put into another, and what of the answer comes with it.

Meng et al. 2022 (causal tracing); Wang et al. 2022; Heimersheim & Nanda 2024, "How to use and
interpret activation patching". Two prompts of as many tokens are run, clean and corrupted. Of the
one, `base`, everything stays but a single place, which becomes what it is in the other, `donor`:

    share = (m(patched) − m(base)) / (m(donor) − m(base)),      m the logit difference

so 0 is nothing and 1 all of what tells the two runs apart, in either direction; it may be below 0
or above 1. A patch is the change `resample` of a site, in an experiment whose corrupted prompt is
the donor. What it does not show: by which way a place acts (paths do), and places that stand in for
each other, which noising one by one misses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..asking import ask
from ..attribution.estimate import estimate_cost, estimated_at
from ..errors import ExperimentError
from ..experiment.experiment import Experiment, check_experiment
from ..experiment.method import Kind, Method
from ..experiment.question import Question
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes.growing import Base, base, base_cost, grown_cost
from ..passes.pace import Pace
from ..scoring.corrupted import check_alike, check_corrupted, exchanged
from ..scoring.prompts import Prompt, read_prompts
from ..scoring.scorer import Scorer, Target, score_cost, target_of
from ..scoring.waves import Wave, batches, run_waves
from ..tasks.pairs import Pair, as_pairs, experiments
from .arrays import PatchArrays
from .places import PATCH_DIRECTIONS, PATCH_PLACES, STREAM_PLACES, point_of
from .plan import Plan, layers_with, patched, unlike
from .results import PatchResult


@dataclass(frozen=True)
class Patch(Question[PatchResult, PatchResult]):
    """Every layer's or every head's `place` patched alone, between the clean and the corrupted run.

    `pairs`: clean and corrupted prompts (None: the experiment's own). `place`: one of PATCH_PLACES;
    those of a layer are patched at each position by itself, those of a head at all of the
    experiment's positions together, or, `per_position`, at each. `direction`: one of
    PATCH_DIRECTIONS. `estimate`: a first-order estimate comes first.
    Raises: EngineError for a field that cannot be used, and for an experiment that changes
    something: both runs are as the model has them.
    """

    asks = "patch"
    n_plain = 2
    e: Experiment
    pairs: tuple[Pair, ...] | None = None
    place: str = "resid_pre"
    direction: str = "denoise"
    per_position: bool = False
    estimate: bool = False

    def __post_init__(self) -> None:
        check_experiment(self.e)
        if self.pairs is not None:
            object.__setattr__(self, "pairs", as_pairs(self.pairs))
        for value, known, what in (
            (self.place, PATCH_PLACES, "What is patched"),
            (self.direction, PATCH_DIRECTIONS, "A direction"),
        ):
            if value not in known:
                raise ExperimentError(f"{what} is one of {', '.join(known)}, not “{value!s:.40}”.")
        if self.e.every_change:
            raise ExperimentError(
                "Patching is between the clean and the corrupted run as the model has them, and "
                f"this experiment changes something ({self.e.every_change[0]}): take its `.clean`."
            )
        if self.e.positions.which == "generated":
            raise ExperimentError(
                "Positions are “generated”, and patching is of the prompt's own: choose all, "
                "prompt, or some of them."
            )
        if self.place in STREAM_PLACES:
            object.__setattr__(self, "per_position", True)

    @property
    def model_name(self) -> str:
        return self.e.model

    def answered(self, model: Model) -> Answer[PatchResult, PatchResult]:
        """Snapshots, each with all that is known by then; the last has everything."""
        return self._answer(model, None)

    def answered_after(self, model: Model, so_far: PatchResult) -> Answer[PatchResult, PatchResult]:
        """The same, without what is known of it so far. Raises: ExperimentError for what is known
        of another patching."""
        known = (so_far.experiment, so_far.pairs, so_far.place, so_far.direction)
        if (self.e, self.every_pair, self.place, self.direction) != known or (
            self.per_position != (so_far.positions is not None)
        ):
            raise ExperimentError("What is known so far is of another patching.")
        return self._answer(model, so_far)

    @property
    def every_pair(self) -> tuple[Pair, ...]:
        """The pairs, or the experiment's own."""
        if self.pairs is not None:
            return self.pairs
        return (Pair(self.e.prompt, self.e.corrupted, self.e.answer, self.e.distractor),)

    def _answer(self, model: Model, so_far: PatchResult | None) -> Answer[PatchResult, PatchResult]:
        each = experiments(replace(self.e, method=Method(Kind.RESAMPLE)), self.pairs)
        model.check_way("block by block", "patching")
        return Answer(lambda put: _steps(model, self, each, so_far, put))


def patch(
    e: Experiment,
    pairs: Sequence[Pair] | None = None,
    place: str = "resid_pre",
    direction: str = "denoise",
    per_position: bool = False,
    estimate: bool = False,
    view: str | None = None,
) -> PatchResult:
    """Ask `Patch` and wait for the end. Raises: EngineError in words."""
    given = None if pairs is None else as_pairs(pairs)
    return ask(Patch(e, given, place, direction, per_position, estimate), view)


def _steps(
    model: Model,
    asked: Patch,
    each: Sequence[Experiment],
    so_far: PatchResult | None,
    put: Callable[[PatchResult], None],
) -> Steps[PatchResult]:
    pace = Pace(model)
    yield 0.0
    layers, point = layers_with(model, asked.place), point_of(asked.place)
    wanted = {(point, layer) for layer in layers}
    plan = Plan(asked.e, asked.every_pair, asked.place, asked.direction, asked.per_position, layers)
    check_corrupted(model, each, "patching")
    into, of = each, [exchanged(e) for e in each]
    if asked.direction == "denoise":
        into, of = of, into
    prompts = yield from read_prompts(model, into, "answer", asked.per_position, wanted)
    donors = [target_of(model, e, "answer") for e in of]
    for e, prompt, donor in zip(each, prompts, donors, strict=True):
        check_alike(e, prompt.target, donor)
    result = PatchArrays(plan, model, prompts, donors, so_far)
    held = list(batches(model, prompts))
    planned: dict[tuple[int, ...], list[Wave]] = {}
    for groups in held:
        for group in groups:
            own = yield from unlike(model, prompts, group, wanted)
            planned[tuple(group)] = patched(model, prompts, group, plan, own)
    left = result.left(planned)
    guessed = list(planned) if asked.estimate and not result.has_estimate else []
    pace.total = _total(pace, prompts, planned, planned if asked.estimate else ())
    pace.skip(pace.total - _total(pace, prompts, left, guessed))

    def done(wave: Wave, numbers: np.ndarray) -> None:
        result.fill(wave, numbers)
        put(result.snapshot(pace, min(pace.share, 0.999)))

    for groups in held:
        runs: dict[tuple[int, ...], tuple[Base, Scorer]] = {}
        for key in map(tuple, groups):
            if key in left or key in guessed:
                runs[key] = yield from _runs(model, pace, result, prompts, donors, key)
            if key in guessed:
                some, metric = [prompts[i] for i in key], result.estimated_metric
                guess = yield from estimated_at(model, pace, some, metric, (point,))
                result.fill_estimate(key, guess[point])
        put(result.snapshot(pace, min(pace.share, 0.999)))
        rest = [wave for key in runs for wave in left.get(key, ())]
        yield from run_waves(model, pace, runs, rest, done)
    whole = result.snapshot(pace, 1.0)
    put(whole)
    return whole


def _runs(
    model: Model,
    pace: Pace,
    result: PatchArrays,
    prompts: Sequence[Prompt],
    donors: Sequence[Target],
    group: tuple[int, ...],
) -> Steps[tuple[Base, Scorer]]:
    """The two runs of a group, scored; the base is what rows set out from."""
    targets = [prompts[i].target for i in group]
    own, none = list(range(len(group))), [()] * len(group)
    places = targets[0].places
    run = yield from base(model, pace, [t.ids for t in targets], none, places)
    scorer = Scorer(model, targets, run)
    of_base = yield from scorer.score(pace, run.leaving, own)
    donor = yield from base(model, pace, [donors[i].ids for i in group], none, places)
    result.fill_runs(group, of_base, (yield from scorer.score(pace, donor.leaving, own)))
    return run, scorer


def _total(
    pace: Pace,
    prompts: Sequence[Prompt],
    planned: Mapping[tuple[int, ...], list[Wave]],
    guessed: Sequence[tuple[int, ...]] | Mapping[tuple[int, ...], list[Wave]],
) -> float:
    """Operations of the runs and waves of these groups, and of estimates for those."""
    total = sum(estimate_cost(pace, [prompts[i] for i in group]) for group in guessed)
    for group, waves in planned.items():
        targets = [prompts[i].target for i in group]
        score = score_cost(pace, targets[0])
        total += 2 * (base_cost(pace, [t.ids for t in targets]) + len(group) * score)
        rows = [branch for wave in waves for branch in wave.branches]
        total += sum(grown_cost(pace, row.layer, len(targets[0].ids)) + score for row in rows)
    return total
