"""The coefficient that moves an answer most within a damage that is allowed.

    c* = argmax change(c)        over c with KL(c) ≤ the limit

The change is that of the wanted answer's score, mean over prompts; the KL that on neutral text. On
each side of 0 doubled steps look for where the limit is first passed, and halving narrows that
down; between the two ends an even grid, and around the best of it golden sections (Kiefer 1953).
Random directions of the same length are then added in the same way, as a band.

What it does not show: a coefficient beyond a stretch where the limit is passed, and the best of
several peaks nearer to each other than the grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..asking import ask
from ..errors import EngineError, ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.numbers import number, whole_number
from ..experiment.question import Question
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes.pace import Pace
from ..scoring.waves import run_waves
from ..tasks.pairs import Pair, as_pairs
from .arrays import SteeringArrays
from .best_results import BestSteering
from .neutral import as_neutral
from .runs import begin_runs, directions_added, read_lines, run_cost, waves_of
from .steer import checked, read_coefficient, steered_layers

MOST_KL = 0.1
"""Nats a token: what a text may be changed by where nothing else is said."""
_LONGEST = 4.0
"""Of what is added beside the stream, where no coefficient is said to be the greatest."""
_DOUBLINGS, _HALVINGS, _GRID, _SECTIONS = 8, 7, 6, 14
_NEAR = 0.01
"""Of a coefficient: what it is told to."""
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class BestCoefficient(Question[BestSteering, BestSteering]):
    """The coefficient, of either sign, with which a direction added where the stream enters `layer`
    moves the answer most while KL(clean ‖ steered) on neutral text is at most `most_kl`, nats a
    token.

    `most`: the greatest coefficient that is tried, by itself the one with which what is added is
    four times as long as the stream there. The rest is as in `SteeringMap`.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "best_coefficient"
    n_plain = 4
    e: Experiment
    name: str
    pairs: tuple[Pair, ...] | None
    layer: int
    most_kl: float = MOST_KL
    most: float | None = None
    controls: int = 4
    seed: int = 0
    neutral: tuple[str, ...] = ()
    spared: tuple[Pair, ...] | None = None

    def __post_init__(self) -> None:
        for field, value in checked(self).items():
            object.__setattr__(self, field, value)
        object.__setattr__(self, "layer", whole_number(self.layer, "The layer"))
        limit = number(self.most_kl, "The damage that is allowed")
        if not 0 < limit <= 100:
            raise ExperimentError(
                f"The damage allowed is above 0 and at most 100 nats a token, not {limit:g}."
            )
        object.__setattr__(self, "most_kl", limit)
        if self.most is not None:
            most = read_coefficient(self.most, "The greatest coefficient")
            if not most > 0:
                raise ExperimentError(f"The greatest coefficient is above 0, not {most:g}.")
            object.__setattr__(self, "most", most)

    @property
    def model_name(self) -> str:
        return self.e.model

    def answered(self, model: Model) -> Answer[BestSteering, BestSteering]:
        """Snapshots with all coefficients tried by then, the best so far named."""
        model.check_way("block by block", "steering")
        steered_layers(model, (self.layer,))
        return Answer(lambda put: _Search(model, self, put).steps())


def best_coefficient(
    e: Experiment,
    name: str,
    pairs: Sequence[Pair] | None,
    layer: int,
    most_kl: float = MOST_KL,
    most: float | None = None,
    controls: int = 4,
    seed: int = 0,
    neutral: Iterable[str] | str = (),
    spared: Sequence[Pair] | None = None,
    view: str | None = None,
) -> BestSteering:
    """Ask `BestCoefficient` and wait for the end. Raises: EngineError in words."""
    given = None if pairs is None else as_pairs(pairs)
    alone = None if spared is None else as_pairs(spared)
    texts = as_neutral(neutral)
    asked = BestCoefficient(e, name, given, layer, most_kl, most, controls, seed, texts, alone)
    return ask(asked, view)


class _Search:
    """The search, on the worker's thread."""

    def __init__(
        self, model: Model, asked: BestCoefficient, put: Callable[[BestSteering], None]
    ) -> None:
        self._model, self._asked, self._put = model, asked, put
        self._pace = Pace(model)
        self._most = 0.0

    def steps(self) -> Steps[BestSteering]:
        yield 0.0
        yield from self._begin()
        ends = []
        for sign in (1.0, -1.0):
            ends.append((yield from self._end(sign)))
        high, low = ends
        grid = sorted({*np.linspace(low, 0, _GRID + 1), *np.linspace(0, high, _GRID + 1)})
        yield from self._try(map(float, grid))
        yield from self._sections()
        tried = {self._best(), *map(float, grid)}
        self._pace.total = self._pace.done + self._asked.controls * len(tried) * self._cost()
        for draw in range(1, len(self._added)):
            yield from self._try(tried, draw)
        result = self._known(1.0)
        self._put(result)
        return result

    def _begin(self) -> Steps[None]:
        asked, model, pace = self._asked, self._model, self._pace
        self._added = yield from directions_added(
            model, asked.e, asked.name, asked.controls, asked.seed
        )
        self._lines = yield from read_lines(
            model, asked.e, asked.pairs, asked.spared, asked.neutral
        )
        held = self._lines.held(model)
        self._groups = [group for groups in held for group in groups]
        if len(held) > 2:
            raise EngineError(
                f"{self._lines.n_scored:,} prompts are more than are held at once, and each "
                "coefficient is tried on all of them: give fewer."
            )
        self._arrays = SteeringArrays(
            asked.e, asked.name, (asked.layer,), (0.0,), asked.seed, self._lines, self._added, None
        )
        n = 2 * (_DOUBLINGS + _HALVINGS) + 2 * _GRID + _SECTIONS
        pace.total = (n + asked.controls * (2 * _GRID + 2)) * self._cost()
        pace.total += run_cost(pace, self._lines, {group: () for group in self._groups})
        self._runs = yield from begin_runs(model, pace, self._lines, self._groups)
        for group, (run, scorer) in self._runs.items():
            own = list(range(len(group)))
            numbers = yield from scorer.score(pace, run.leaving, own)
            self._arrays.fill_clean(group, run, numbers)
        known = self._known()
        self._put(known)
        stream = float(known.tried.stream_norms[0])
        self._most = asked.most or _LONGEST * max(stream, 1e-6) / known.tried.norm

    def _cost(self) -> float:
        """Operations of one coefficient tried."""
        lines, pace, every = self._lines, self._pace, self._groups
        one = {self._asked.layer: [(0, 0)]}
        planned = {g: waves_of(self._model, lines, g, self._added, (1.0,), one) for g in every}
        return run_cost(pace, lines, planned) - run_cost(pace, lines, {g: () for g in every})

    def _try(self, coefficients: Iterable[float], draw: int = 0) -> Steps[None]:
        """Try what has not been tried of these."""
        asked, arrays = self._asked, self._arrays
        arrays.widen(coefficients := tuple(coefficients))
        new = [
            (draw, arrays.coefficients.index(c))
            for c in dict.fromkeys(coefficients)
            if not arrays.is_known(draw, c)
        ]
        for group in self._groups if new else ():
            some = waves_of(
                self._model, self._lines, group, self._added, arrays.coefficients,
                {asked.layer: new},
            )  # fmt: skip
            yield from run_waves(self._model, self._pace, self._runs, some, arrays.fill)
        self._put(self._known())

    def _end(self, sign: float) -> Steps[float]:
        """How far the coefficient may go on one side: what is past the limit is not tried further.
        Where not even the smallest step is within, 0."""
        within, past = 0.0, None
        for i in reversed(range(_DOUBLINGS)):
            c = sign * self._most / 2**i
            yield from self._try([c])
            if not self._allowed(c):
                past = c
                break
            within = c
        if past is None:
            return within
        for _ in range(_HALVINGS):
            middle = (within + past) / 2
            yield from self._try([middle])
            within, past = (middle, past) if self._allowed(middle) else (within, middle)
        return within

    def _sections(self) -> Steps[None]:
        """Golden sections around the best coefficient tried so far, between its neighbours."""
        allowed = [c for c in self._arrays.coefficients if self._allowed(c)]
        at = allowed.index(self._best())
        low, high = allowed[max(0, at - 1)], allowed[min(len(allowed) - 1, at + 1)]
        for _ in range(_SECTIONS // 2):
            if high - low <= _NEAR * max(abs(low), abs(high)):
                break
            left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
            yield from self._try([left, right])
            if self._number("change", left) >= self._number("change", right):
                high = right
            else:
                low = left

    def _allowed(self, c: float) -> bool:
        return self._number("kl", c) <= self._asked.most_kl

    def _number(self, aspect: str, c: float) -> float:
        known = self._known().tried
        return float(known.shown(aspect)[0, known.coefficients.index(c)])

    def _best(self) -> float:
        return self._known().coefficient

    def _known(self, progress: float | None = None) -> BestSteering:
        share = min(self._pace.share, 0.999) if progress is None else progress
        tried = self._arrays.snapshot(self._pace, share)
        return BestSteering(tried, self._asked.layer, self._asked.most_kl)
