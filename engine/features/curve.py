"""Circuits of features: how few of an SAE's features keep a task.

The features on in some prompt are put in an order; all but the first k become what they are on
average over the prompts' own clean runs, by position where the prompts line up, as Marks et al.
2024 (sparse feature circuits) have it, or 0. With m the mean metric over pairs, N the baseline run,
C the first k and ∅ none of them kept,

    faithfulness = (m(C) − m(∅)) / (m(N) − m(∅))
    completeness = (m(N ∖ C) − m(∅)) / (m(N) − m(∅))

What the SAE does not say of the activation, its error, stays as it is, or is gone in all but N. All
that is changed lies at the SAE's one place, and the experiment's own changes come after it. Random
orders of the same features stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..asking import ask
from ..errors import ExperimentError
from ..experiment.experiment import Experiment, check_experiment
from ..experiment.numbers import whole_number
from ..experiment.parsed import Parsed, field
from ..experiment.question import Question
from ..experiment.sae import Sae
from ..experiment.sites import AsSites, Feature, parse_sites
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes.pace import Pace
from ..passes.saved_saes import check_feature
from ..scoring.prompts import read_prompts
from ..scoring.waves import batches
from ..tasks.pairs import Pair, as_pairs
from .asked import check_ways, each_asked, metric_for, notes_on, pairs_of
from .circuits import FeatureCircuits, Plan, circuits_of, line_up, planned
from .curve_results import FeatureCurve
from .curve_runs import CircuitRuns, Known
from .places import fit
from .readings import Reading, readings_cost, readings_of
from .shifted import runs_cost, shift_cost

MOST_CONTROLS = 100
_CHOICES = {
    "by": ("magnitude", "signed"),
    "others": ("mean", "zero"),
    "error": ("kept", "zero"),
}


@dataclass(frozen=True)
class CutFeatures(Question[FeatureCurve, FeatureCurve]):
    """How much of the answer the first features of an SAE keep, 1 to all that are on, with the
    others at their mean over the pairs or at 0, and how much is left without them.

    `pairs`: the prompts (None: the experiment's own). `first`: the features that come first, in
    this order, as `FeatureRanking.order` has them; all others come behind by their estimates, `by`
    "magnitude", or "signed": those first that help the answer most. `others`: "mean" or "zero".
    `error`: "kept", or "zero" in all but the baseline run. `controls`: how many random orders,
    drawn with `seed`.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "feature_curve"
    n_plain = 3
    e: Experiment
    sae: Parsed[Sae, Sae | str] = field()
    pairs: tuple[Pair, ...] | None = None
    first: Parsed[tuple[Feature, ...], AsSites] = field(default=())
    by: str = "magnitude"
    others: str = "mean"
    error: str = "kept"
    controls: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        check_experiment(self.e)
        object.__setattr__(self, "sae", Sae.parse(self.sae))
        if self.pairs is not None:
            object.__setattr__(self, "pairs", as_pairs(self.pairs))
        first = parse_sites(self.first)
        if other := next((one for one in first if not self._has(one)), None):
            raise ExperimentError(f"{other} is no feature of “{self.sae.name}”.")
        object.__setattr__(self, "first", first)
        for name, values in _CHOICES.items():
            if getattr(self, name) not in values:
                raise ExperimentError(
                    f"“{name}” is {' or '.join(values)}, not “{getattr(self, name)!s:.40}”."
                )
        for name, what in (("controls", "How many random orders"), ("seed", "The seed")):
            object.__setattr__(self, name, whole_number(getattr(self, name), what))
        if not 0 <= self.controls <= MOST_CONTROLS:
            raise ExperimentError(
                f"There are 0 to {MOST_CONTROLS} random orders, not {self.controls:,}."
            )
        if self.seed < 0:
            raise ExperimentError(f"The seed is 0 or more, not {self.seed}.")

    def _has(self, site: object) -> bool:
        return isinstance(site, Feature) and site.layer == self.sae.layer

    @property
    def model_name(self) -> str:
        return self.e.model

    @property
    def options(self) -> tuple[str, str, str, int, int, tuple[Feature, ...]]:
        """`by`, `others`, `error`, `controls`, `seed` and `first`."""
        return self.by, self.others, self.error, self.controls, self.seed, self.first

    def answered(self, model: Model) -> Answer[FeatureCurve, FeatureCurve]:
        """Snapshots, each with the sizes known by then, small ones first; the last has all."""
        return self._answer(model, None)

    def answered_after(
        self, model: Model, so_far: FeatureCurve
    ) -> Answer[FeatureCurve, FeatureCurve]:
        """The same, without what is known of it so far. Raises: ExperimentError for what is known
        of another curve."""
        known = (so_far.experiment, so_far.sae, so_far.pairs, so_far.asked)
        if known != (self.e, self.sae, pairs_of(self.e, self.pairs), self.options):
            raise ExperimentError("What is known so far is of another curve.")
        return self._answer(model, so_far)

    def _answer(
        self, model: Model, so_far: FeatureCurve | None
    ) -> Answer[FeatureCurve, FeatureCurve]:
        check_ways(model, "circuit of features")
        each = each_asked(self.e, self.pairs)
        return Answer(lambda put: _steps(model, self, each, so_far, put))


def feature_curve(
    e: Experiment,
    sae: Sae | str,
    pairs: Sequence[Pair] | None = None,
    first: AsSites = (),
    by: str = "magnitude",
    others: str = "mean",
    error: str = "kept",
    controls: int = 5,
    seed: int = 0,
    view: str | None = None,
) -> FeatureCurve:
    """Ask `CutFeatures` and wait for the end. Raises: EngineError in words."""
    given = None if pairs is None else as_pairs(pairs)
    asked = CutFeatures(e, Sae.parse(sae), given, first, by, others, error, controls, seed)
    return ask(asked, view)


def _steps(
    model: Model,
    asked: CutFeatures,
    each: Sequence[Experiment],
    so_far: FeatureCurve | None,
    put: Callable[[FeatureCurve], None],
) -> Steps[FeatureCurve]:
    pace = Pace(model)
    yield 0.0
    fitted = fit(model, asked.sae)
    for one in asked.first:
        check_feature(asked.sae, fitted.dictionary, one.index)
    prompts = yield from read_prompts(model, each, "answer", False, set())
    notes, metric = notes_on(asked.e, prompts), metric_for(prompts)
    held = list(batches(model, prompts))
    groups = [group for some in held for group in some]
    fixed = readings_cost(pace, prompts, fitted)
    fixed += sum(runs_cost(pace, [prompts[i] for i in group]) for group in groups)
    rowing = sum(shift_cost(pace, prompt, fitted.writes[1]) for prompt in prompts)
    pace.total = fixed + 50 * rowing
    readings = yield from readings_of(model, pace, prompts, groups, fitted, metric)
    circuits = circuits_of(asked.sae, fitted, readings, asked.others, asked.error)
    plan = planned(
        asked.sae, circuits, _estimates(circuits, readings), asked.first, asked.by,
        asked.controls, asked.seed,
    )  # fmt: skip
    if asked.others == "mean" and not line_up(readings):
        notes = (*notes, "The prompts do not line up, so means are over all their positions.")
    known = Known(plan, _nothing(asked, metric, plan, notes))
    if so_far is not None:
        known.take_over(so_far)
    pace.total = fixed + known.n_left * rowing
    runner = CircuitRuns(model, pace, fitted.writes, known, circuits, prompts, readings)
    for some in held:
        yield from runner.run(some, put)
    put(last := known.result(pace, 1.0))
    return last


def _estimates(circuits: FeatureCircuits, readings: Sequence[Reading]) -> np.ndarray:
    """The mean estimate of every member."""
    result = np.zeros(len(circuits.on))
    for one in readings:
        result[np.searchsorted(circuits.on, one.on.cpu().numpy())] += one.estimates
    return result / len(readings)


def _nothing(asked: CutFeatures, metric: str, plan: Plan, notes: tuple[str, ...]) -> FeatureCurve:
    """The curve of which nothing is known yet."""
    pairs = pairs_of(asked.e, asked.pairs)
    unknown = np.full((asked.controls + 2, len(plan.sizes), len(pairs)), np.nan)
    return FeatureCurve(
        experiment=asked.e,
        sae=asked.sae,
        pairs=pairs,
        asked=asked.options,
        metric=metric,
        order=plan.order,
        sizes=plan.sizes,
        whole=unknown[0, 0],
        none=unknown[0, 0],
        kept=unknown[0],
        removed=unknown[1],
        random=unknown[2:],
        notes=notes,
        progress=0.0,
        seconds_left=None,
    )
