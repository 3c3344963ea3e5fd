"""A direction added to the stream, at layers × coefficients: what it brings, and what it costs.

Activation addition (Turner et al. 2023), judged as in Tan et al. 2024 by its effect over prompts
and by what happens to text that has nothing to do with it:

    x ← x + c · v        where the stream enters a layer, x its value there, v the direction

The same is done with random directions of v's length, as what any push of that length does is not
v's doing. What it does not show: whether the model itself uses v; whether a text that goes on would
keep to it (the KL is of one token at a time); other tasks, other texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..asking import ask
from ..errors import ExperimentError, SiteError
from ..experiment.experiment import Experiment, check_experiment
from ..experiment.method import MOST_NUMBER
from ..experiment.numbers import number, whole_number
from ..experiment.question import Question
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes.growing import Base
from ..passes.pace import Pace
from ..scoring.waves import Wave
from ..tasks.pairs import Pair, as_pairs
from .arrays import SteeringArrays
from .neutral import as_neutral
from .results import SteeringResult
from .runs import Addition, Group, directions_added, read_lines, run_cost, run_held, waves_of

COEFFICIENTS = (-8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0)
MOST_LAYERS = 12
"""Layers that are steered where none are named, spread evenly over a deeper model."""
MOST_COEFFICIENTS = 101
MOST_DRAWS = 100


@dataclass(frozen=True)
class SteeringMap(Question[SteeringResult, SteeringResult]):
    """A direction of the experiment, `name`, added where the stream enters each of `layers`, times
    each of `coefficients`, 0 always among them, at the experiment's positions.

    `pairs`: the prompts, of which the answer is what steering should bring and the distractor what
    comes without (None: the experiment's own). `layers`: by themselves all, of a deeper model 12.
    `controls`: how many random directions as long are added in the same way, drawn by `seed`.
    `neutral`: texts that should stay as they are, changed at every token; by themselves those that
    ship. `spared`: pairs that should stay right, changed at every token; by themselves (None)
    letters and weekdays.
    Raises: EngineError for a field that cannot be used, and for an experiment that changes
    something: the model is steered as it is.
    """

    asks = "steer"
    n_plain = 3
    e: Experiment
    name: str
    pairs: tuple[Pair, ...] | None = None
    layers: tuple[int, ...] = ()
    coefficients: tuple[float, ...] = COEFFICIENTS
    controls: int = 4
    seed: int = 0
    neutral: tuple[str, ...] = ()
    spared: tuple[Pair, ...] | None = None

    def __post_init__(self) -> None:
        for field, value in checked(self).items():
            object.__setattr__(self, field, value)
        object.__setattr__(self, "layers", read_layers(self.layers))
        object.__setattr__(self, "coefficients", read_coefficients(self.coefficients))

    @property
    def model_name(self) -> str:
        return self.e.model

    def answered(self, model: Model) -> Answer[SteeringResult, SteeringResult]:
        """Snapshots, each with all that is known by then: the direction's own cells come first."""
        return self._answer(model, None)

    def answered_after(
        self, model: Model, so_far: SteeringResult
    ) -> Answer[SteeringResult, SteeringResult]:
        """The same, without what is known of it so far. Raises: ExperimentError for what is known
        of another steering."""
        asked = (self.e, self.name, self.coefficients, self.controls, self.seed)
        known = (so_far.experiment, so_far.name, so_far.coefficients, so_far.n_draws, so_far.seed)
        if asked != known or (self.layers or steered_layers(model, ())) != so_far.layers:
            raise ExperimentError("What is known so far is of another steering.")
        return self._answer(model, so_far)

    def _answer(
        self, model: Model, so_far: SteeringResult | None
    ) -> Answer[SteeringResult, SteeringResult]:
        model.check_way("block by block", "steering")
        layers = steered_layers(model, self.layers)
        return Answer(lambda put: _steps(model, self, layers, so_far, put))


def steer(
    e: Experiment,
    name: str,
    pairs: Sequence[Pair] | None = None,
    layers: Iterable[int] = (),
    coefficients: Iterable[float] = COEFFICIENTS,
    controls: int = 4,
    seed: int = 0,
    neutral: Iterable[str] | str = (),
    spared: Sequence[Pair] | None = None,
    view: str | None = None,
) -> SteeringResult:
    """Ask `SteeringMap` and wait for the end. Raises: EngineError in words."""
    given = None if pairs is None else as_pairs(pairs)
    alone = None if spared is None else as_pairs(spared)
    asked = SteeringMap(
        e, name, given, read_layers(layers), read_coefficients(coefficients), controls, seed,
        as_neutral(neutral), alone,
    )  # fmt: skip
    return ask(asked, view)


def checked(asked: Any) -> dict[str, Any]:
    """The fields that questions of steering share, read. Raises: EngineError for one that cannot be
    used."""
    given = {name: getattr(asked, name) for name in _SHARED if hasattr(asked, name)}
    e = given["e"]
    check_experiment(e)
    if e.every_change:
        raise ExperimentError(
            "The model is steered as it is, and this experiment changes something already "
            f"({e.every_change[0]}): take its `.clean`."
        )
    if "pairs" in given and e.positions.which == "generated":
        raise ExperimentError(
            "Positions are “generated”, and prompts are steered here: choose all, prompt, or some "
            "of them."
        )
    if not isinstance(given["name"], str):
        raise ExperimentError(f"A direction is named, not {given['name']!r:.60}.")
    e.vector(given["name"])
    for name in ("pairs", "spared"):
        if given.get(name) is not None:
            given[name] = as_pairs(given[name])
    if given.get("pairs") == ():
        raise ExperimentError("There are no prompts to steer; give at least one pair.")
    draws = whole_number(given["controls"], "How many random directions are drawn")
    if not 1 <= draws <= MOST_DRAWS:
        raise ExperimentError(f"1 to {MOST_DRAWS} random directions are drawn, not {draws:,}.")
    seed = whole_number(given["seed"], "The seed")
    if not 0 <= seed < 2**32:
        raise ExperimentError(f"The seed is from 0 to {2**32 - 1:,}, not {seed:,}.")
    if "neutral" in given:
        given["neutral"] = as_neutral(given["neutral"])
    return {**given, "controls": draws, "seed": seed}


_SHARED = ("e", "name", "pairs", "controls", "seed", "neutral", "spared")


def read_layers(given: object) -> tuple[int, ...]:
    """Layers in order, each once. Raises: ExperimentError for what are none."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ExperimentError(f"Layers are whole numbers, not {given!r:.60}.")
    return tuple(sorted({whole_number(one, "A layer") for one in given}))


def read_coefficients(given: object) -> tuple[float, ...]:
    """Coefficients in order, each once, and 0. Raises: ExperimentError for one that cannot be."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ExperimentError(f"Coefficients are numbers, not {given!r:.60}.")
    result = {0.0} | {read_coefficient(one) + 0.0 for one in given}
    if len(result) > MOST_COEFFICIENTS:
        raise ExperimentError(f"At most {MOST_COEFFICIENTS} coefficients, not {len(result):,}.")
    return tuple(sorted(result))


def read_coefficient(given: object, what: str = "A coefficient") -> float:
    """A coefficient that a direction can be added with. Raises: ExperimentError for another."""
    c = number(given, what)
    if not (math.isfinite(c) and abs(c) <= MOST_NUMBER):
        raise ExperimentError(
            f"{what} is finite, and from −{MOST_NUMBER:,.0f} to {MOST_NUMBER:,.0f}, not {c:g}."
        )
    return c


def steered_layers(model: Model, asked: Sequence[int]) -> tuple[int, ...]:
    """The layers asked for, or all, or of a deeper model MOST_LAYERS of them.

    Raises: SiteError for a layer there is not; EngineError where the stream is not reached.
    """
    n = model.shape.n_layers
    wrong = next((layer for layer in asked if not 0 <= layer < n), None)
    if wrong is not None:
        raise SiteError(f"There is no layer {wrong}; this model has layers 0 to {n - 1}.")
    spread = np.linspace(0, n - 1, min(n, MOST_LAYERS)).round().astype(int).tolist()
    result = tuple(asked) or tuple(dict.fromkeys(spread))
    for layer in result:
        if not model.reaches("resid_pre", layer):
            raise SiteError(model.why_not("resid_pre", layer))
    return result


def _steps(
    model: Model,
    asked: SteeringMap,
    layers: tuple[int, ...],
    so_far: SteeringResult | None,
    put: Callable[[SteeringResult], None],
) -> Steps[SteeringResult]:
    pace = Pace(model)
    yield 0.0
    added = yield from directions_added(model, asked.e, asked.name, asked.controls, asked.seed)
    lines = yield from read_lines(model, asked.e, asked.pairs, asked.spared, asked.neutral)
    result = SteeringArrays(asked.e, asked.name, layers, asked.coefficients, asked.seed, lines,
                            added, so_far)  # fmt: skip
    held = lines.held(model)
    columns = [j for j, c in enumerate(asked.coefficients) if c]

    def planned(draws: Iterable[int]) -> dict[Group, list[Wave]]:
        each: list[Addition] = [(draw, j) for draw in draws for j in columns]
        additions: Mapping[int, list[Addition]] = dict.fromkeys(layers, each)
        return {
            group: waves_of(model, lines, group, added, asked.coefficients, additions)
            for groups in held
            for group in groups
        }

    whole = [planned([0]), planned(range(1, len(added)))]
    left = [result.left(part) for part in whole]
    pace.total = sum(run_cost(pace, lines, part) for part in whole)
    pace.skip(pace.total - sum(run_cost(pace, lines, part) for part in left))

    def clean(group: Group, run: Base, numbers: np.ndarray) -> None:
        result.fill_clean(group, run, numbers)
        put(result.snapshot(pace, min(pace.share, 0.999)))

    def done(wave: Wave, numbers: np.ndarray) -> None:
        result.fill(wave, numbers)
        put(result.snapshot(pace, min(pace.share, 0.999)))

    for groups in held:
        wanted = [group for group in groups if any(group in part for part in left)]
        yield from run_held(model, pace, lines, wanted, left, clean, done)
    known = result.snapshot(pace, 1.0)
    put(known)
    return known
