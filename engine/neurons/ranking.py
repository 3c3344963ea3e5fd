"""The neurons of one layer, or of all, by their effect on the answer: estimated, then exactly.

All are estimated from one forward and one backward pass a prompt (`estimate`); those with the
greatest estimates, by size, are then ablated alone, one by one, with the experiment's method at its
positions, on top of what it changes already. What it does not show: neurons that act together or
stand in for each other; and, of those whose estimate is small, whether it should have been greater.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..asking import ask
from ..errors import ExperimentError
from ..experiment.experiment import Experiment, check_experiment
from ..experiment.method import prompt_only
from ..experiment.numbers import whole_number
from ..experiment.question import Question
from ..experiment.sites import Neuron, Site
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes.growing import Base, base, base_cost, grown_cost
from ..passes.hooks import ablated_sites
from ..passes.pace import Pace
from ..scoring.metrics import STORED
from ..scoring.prompts import Prompt, read_prompts, references_of
from ..scoring.scorer import Scorer, score_cost
from ..scoring.waves import Wave, batches, run_waves, site_rows, waves
from ..tasks.pairs import Pair, as_pairs, experiments
from .estimate import estimate_cost, estimated
from .places import layers_with_neurons, left_out
from .results import NeuronRanking

MOST_EXACT = 1_000


@dataclass(frozen=True)
class RankNeurons(Question[NeuronRanking, NeuronRanking]):
    """Neurons by what ablating each alone does to the logit difference (to the answer's
    log-probability where no token tells answer and distractor apart), with the experiment's method
    and positions, on top of its ablations and changes if it has any.

    `pairs`: the prompts (None: the experiment's own). `layer`: the one whose neurons are ranked,
    None: all. `exact`: of how many, those with the greatest estimates, the effect is measured.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "rank_neurons"
    n_plain = 2
    e: Experiment
    pairs: tuple[Pair, ...] | None = None
    layer: int | None = None
    exact: int = 20

    def __post_init__(self) -> None:
        check_experiment(self.e)
        if self.pairs is not None:
            object.__setattr__(self, "pairs", as_pairs(self.pairs))
        exact = whole_number(self.exact, "How many neurons are measured")
        if not 0 <= exact <= MOST_EXACT:
            raise ExperimentError(f"0 to {MOST_EXACT:,} neurons are measured, not {exact:,}.")
        object.__setattr__(self, "exact", exact)
        if self.layer is not None:
            object.__setattr__(self, "layer", whole_number(self.layer, "The layer"))

    @property
    def model_name(self) -> str:
        return self.e.model

    @property
    def _pairs(self) -> tuple[Pair, ...]:
        e = self.e
        return self.pairs or (Pair(e.prompt, e.corrupted, e.answer, e.distractor),)

    def answered(self, model: Model) -> Answer[NeuronRanking, NeuronRanking]:
        """Snapshots, the estimates first, then the exact effects as they come."""
        return self._answer(model, None)

    def answered_after(
        self, model: Model, so_far: NeuronRanking
    ) -> Answer[NeuronRanking, NeuronRanking]:
        """The same, without what is known of it so far. Raises: ExperimentError for what is known
        of another ranking."""
        known = (so_far.experiment, so_far.pairs, so_far.layer, so_far.asked_exact)
        if known != (self.e, self._pairs, self.layer, self.exact):
            raise ExperimentError("What is known so far is of another ranking.")
        return self._answer(model, so_far)

    def _answer(
        self, model: Model, so_far: NeuronRanking | None
    ) -> Answer[NeuronRanking, NeuronRanking]:
        model.check_way("block by block", "ranking of neurons")
        layers = layers_with_neurons(model, self.layer)
        each = experiments(self.e, self.pairs)
        return Answer(lambda put: _steps(model, self, self._pairs, each, layers, so_far, put))


def rank_neurons(
    e: Experiment,
    pairs: Sequence[Pair] | None = None,
    layer: int | None = None,
    exact: int = 20,
    view: str | None = None,
) -> NeuronRanking:
    """Ask `RankNeurons` and wait for the end. Raises: EngineError in words."""
    return ask(RankNeurons(e, None if pairs is None else as_pairs(pairs), layer, exact), view)


def _steps(
    model: Model,
    asked: RankNeurons,
    pairs: tuple[Pair, ...],
    each: Sequence[Experiment],
    layers: tuple[int, ...],
    so_far: NeuronRanking | None,
    put: Callable[[NeuronRanking], None],
) -> Steps[NeuronRanking]:
    pace = Pace(model)
    yield 0.0
    posts = {("post", layer) for layer in layers}
    prompts = yield from read_prompts(model, each, "answer", False, posts)
    without = sum(p.target.distractor is None for p in prompts)
    metric = "log_prob" if without else "logit_diff"
    groups = [group for held in batches(model, prompts) for group in held]
    n, width = len(prompts), model.shape.d_mlp or 0
    k = min(asked.exact, len(layers) * width)
    guessing = sum(estimate_cost(pace, [prompts[i] for i in group]) for group in groups)
    pace.total = guessing + sum(_cost(pace, [prompts[i] for i in g], layers, k) for g in groups)
    known = so_far or NeuronRanking(
        experiment=asked.e,
        pairs=pairs,
        layer=asked.layer,
        asked_exact=asked.exact,
        metric=metric,
        layers=layers,
        estimate=np.full((len(layers), width), np.nan),
        spread=np.full((len(layers), width), np.nan),
        neurons=(),
        exact=np.full((n, 0), np.nan),
        clean=np.full(n, np.nan),
        given=np.full(n, np.nan),
        references=references_of(each),
        notes=_notes(model, asked.e, prompts, layers, without),
        progress=0.0,
        seconds_left=None,
    )

    def told(now: NeuronRanking, whole: bool = False) -> NeuronRanking:
        share = 1.0 if whole else min(pace.share, 0.999)
        put(result := replace(now, progress=share, seconds_left=pace.seconds_left))
        return result

    if np.isfinite(known.estimate).all():
        pace.skip(guessing)
    else:
        sums = np.zeros((2, len(layers), width))
        for group in groups:
            some = [prompts[i] for i in group]
            part = yield from estimated(model, pace, some, metric, layers)
            sums += part.sum(0), (part**2).sum(0)
        mean = sums[0] / n
        known = replace(
            known, estimate=mean, spread=np.sqrt(np.maximum(sums[1] / n - mean**2, 0.0))
        )
        neurons = known.by_estimate(k)
        known = told(replace(known, neurons=neurons, exact=np.full((n, k), np.nan)))
    for group in groups:
        known = yield from _measured(model, pace, known, prompts, group, told)
    return told(known, whole=True)


def _measured(
    model: Model,
    pace: Pace,
    known: NeuronRanking,
    prompts: list[Prompt],
    group: list[int],
    told: Callable[[NeuronRanking], NeuronRanking],
) -> Steps[NeuronRanking]:
    """The exact effects on prompts that share a pass: those that are not known yet."""
    one = prompts[group[0]]
    idle = set(ablated_sites(one.e.ablations, model.shape)) if one.positions else None
    column = {neuron: i for i, neuron in enumerate(known.neurons)}
    exact, clean, given = known.exact.copy(), known.clean.copy(), known.given.copy()
    missing = np.isnan(exact[group]).any(0)
    if not missing.any() and np.isfinite(given[group]).all():
        pace.skip(_cost(pace, [prompts[i] for i in group], known.layers, len(column)))
        return known

    def rows_of(layer: int) -> list:
        sites: list[Site] = [
            neuron
            for neuron, i in column.items()
            if neuron.layer == layer and missing[i] and idle is not None and neuron not in idle
        ]
        return site_rows(prompts, group, sites, per_position=False)

    some = waves(model, prompts, group, rows_of)
    question = [prompts[i].target for i in group]
    ids, places = [q.ids for q in question], question[0].places
    run: Base = yield from base(model, pace, ids, [()] * len(ids), places)
    scorer, own, at = (
        Scorer(model, question, run),
        list(range(len(ids))),
        STORED.index(known.metric),
    )
    clean[group] = given[group] = (yield from scorer.score(pace, run.leaving, own))[at]
    if any(prompts[i].given for i in group):
        edits = [prompts[i].given for i in group]
        run = yield from base(model, pace, ids, edits, places, run.blocks)
        given[group] = (yield from scorer.score(pace, run.leaving, own))[at]
    for neuron, i in column.items():
        if idle is None or neuron in idle:
            exact[group, i] = 0.0

    def snapshot() -> NeuronRanking:
        return replace(known, exact=exact.copy(), clean=clean.copy(), given=given.copy())

    def done(wave: Wave, numbers: np.ndarray) -> None:
        for row, (prompt, _, site) in enumerate(wave.cells):
            assert isinstance(site, Neuron)
            exact[prompt, column[site]] = numbers[at, row] - given[prompt]
        told(snapshot())

    yield from run_waves(model, pace, {tuple(group): (run, scorer)}, some, done)
    return snapshot()


def _cost(pace: Pace, prompts: Sequence[Prompt], layers: Sequence[int], k: int) -> float:
    """Operations of the runs, and of about as many rows as are measured."""
    n, question = len(prompts[0].target.ids), prompts[0].target
    runs = 1 + any(p.given for p in prompts)
    rows = sum(grown_cost(pace, layer, n) for layer in layers) / len(layers) * k
    scored = (runs + k) * len(prompts) * score_cost(pace, question)
    held = runs * base_cost(pace, [p.target.ids for p in prompts])
    return held + len(prompts) * rows + scored


def _notes(
    model: Model,
    e: Experiment,
    prompts: Sequence[Prompt],
    layers: tuple[int, ...],
    without: int,
) -> tuple[str, ...]:
    notes = dict.fromkeys(note for prompt in prompts for note in prompt.target.notes)
    notes |= dict.fromkeys(left_out(model, layers))
    if any(len(prompt.target.places) > 1 for prompt in prompts):
        methods = (e.method, *(change.becomes for change in e.changes))
        notes |= dict.fromkeys(prompt_only(methods, "after it"))
    if not any(prompt.positions for prompt in prompts):
        notes[f"Positions are “{e.positions}”: no neuron is ablated in the prompts themselves."] = (
            None
        )
    if 0 < without < len(prompts):
        notes[
            f"In {without} of {len(prompts)} pairs no token tells answer and distractor apart, so "
            "the effects are on the answer's log-probability in all."
        ] = None
    return tuple(notes)
