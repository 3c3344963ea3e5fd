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
from ..experiment.experiment import Experiment
from ..experiment.method import Method
from ..experiment.numbers import whole_number
from ..experiment.parsed import Parsed, field
from ..experiment.sae import Sae
from ..experiment.sites import AsSites, Feature, parse_sites
from ..model.model import Model
from ..model.worker import Steps
from ..passes.saes import check_feature
from ..tasks.pairs import Pair, as_pairs
from .asked import AnswerQuestion, begun, pairs_of
from .circuits import FeatureCircuits, Plan, circuits_of, line_up, planned, same_change
from .curve_results import FeatureCurve
from .curve_runs import CircuitRuns, Known
from .places import changed_too
from .readings import Reading

MOST_CONTROLS = 100
_CHOICES = {
    "by": ("magnitude", "signed"),
    "others": ("mean", "zero"),
    "error": ("kept", "zero"),
}


@dataclass(frozen=True)
class CutFeatures(AnswerQuestion[FeatureCurve]):
    """How much of the answer the first features of an SAE keep, 1 to all that are on, with the
    others at their mean over the pairs or at 0, and how much is left without them.

    `pairs`: the prompts (None: the experiment's own). `first`: the features that come first, in
    this order, as `FeatureRanking.order` has them; all others come behind by their estimates, `by`
    "magnitude", or "signed": those first that help the answer most. `others`: "mean" or "zero".
    `error`: "kept", or "zero" in all but the baseline run. `controls`: how many random orders,
    drawn with `seed`. Told as it comes, small sizes first, and then those between the last size
    that keeps too little and the first that keeps 80%, by halving, without random orders.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "feature_curve"
    what = "curve of features"
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
        self.read_fields()
        first = parse_sites(self.first)
        if other := next((one for one in first if not self._has(one)), None):
            raise ExperimentError(f"{other} is no feature of “{self.sae.name}”.")
        object.__setattr__(self, "first", first)
        for name, values in _CHOICES.items():
            if getattr(self, name) not in values:
                raise ExperimentError(
                    f"“{name}” is {' or '.join(values)}, not “{getattr(self, name)!s:.40}”."
                )
        n = whole_number(self.controls, "How many random orders")
        if not 0 <= n <= MOST_CONTROLS:
            raise ExperimentError(f"There are 0 to {MOST_CONTROLS} random orders, not {n:,}.")
        object.__setattr__(self, "controls", n)

    def _has(self, site: object) -> bool:
        return isinstance(site, Feature) and site.layer == self.sae.layer

    @property
    def options(self) -> tuple[str, str, str, int, int, tuple[Feature, ...]]:
        """`by`, `others`, `error`, `controls`, `seed` and `first`."""
        return self.by, self.others, self.error, self.controls, self.seed, self.first

    def steps(
        self,
        model: Model,
        each: Sequence[Experiment],
        so_far: FeatureCurve | None,
        put: Callable[[FeatureCurve], None],
    ) -> Steps[FeatureCurve]:
        """How it is answered."""
        return _steps(model, self, each, so_far, put)


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
    run = yield from begun(model, asked.sae, asked.e, each)
    for one in asked.first:
        check_feature(asked.sae, run.fitted.dictionary, one.index)
    run.expect(50)
    readings = yield from run.readings(model, estimated=so_far is None)
    circuits = circuits_of(asked.sae, run.fitted, readings, asked.others, asked.error)
    first = asked.first if so_far is None else so_far.order
    if so_far is not None and {one.index for one in first} != {*circuits.on.tolist()}:
        readings, first = (yield from run.readings(model)), asked.first
        circuits = circuits_of(asked.sae, run.fitted, readings, asked.others, asked.error)
    plan = planned(
        asked.sae, circuits, _estimates(circuits, readings), first, asked.by, asked.controls,
        asked.seed,
    )  # fmt: skip
    notes = run.notes
    if asked.others == "mean" and not line_up(readings):
        notes = (*notes, "The prompts do not line up, so means are over all their positions.")
    there = changed_too(model, asked.e, run.fitted.writes)
    same = same_change(asked.e, run.prompts, readings, asked.others, asked.error, there)
    known = Known(plan, _nothing(asked, run.metric, plan, same, notes))
    if so_far is not None:
        known.take_over(so_far)
    run.expect(known.n_left + 2 * known.most_halvings)
    at = run.fitted.writes
    runner = CircuitRuns(model, run.pace, at, known, circuits, run.prompts, readings)
    while True:
        for some in run.held:
            yield from runner.run(some, put)
        if (size := known.halfway()) is None:
            break
        known.add(size)
    put(last := known.result(run.pace, 1.0))
    return last


def _estimates(circuits: FeatureCircuits, readings: Sequence[Reading]) -> np.ndarray:
    """The mean estimate of every member."""
    result = np.zeros(len(circuits.on))
    for one in readings:
        result[np.searchsorted(circuits.on, one.on.cpu().numpy())] += one.estimates
    return result / len(readings)


def _nothing(
    asked: CutFeatures,
    metric: str,
    plan: Plan,
    same: tuple[Method | None, str],
    notes: tuple[str, ...],
) -> FeatureCurve:
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
        becomes=same[0],
        why=same[1],
        notes=notes,
        progress=0.0,
        seconds_left=None,
    )
