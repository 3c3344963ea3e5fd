"""Which families of tasks a model does, in which styles: prompts drawn of each, and scored.

A circuit that is searched on prompts a model gets wrong is not of how it does the task, and models
that count `1, 2, 3, 4,` need not count `1 2 3 4`. So each family is drawn in every style that it
comes in, and counted as `score_task` counts it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..asking import ask
from ..errors import EngineError
from ..experiment.experiment import Experiment
from ..experiment.numbers import whole_number
from ..experiment.parsed import Parsed, field
from ..experiment.question import Question
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps, beside_others
from ..registry import as_name
from .drafts import pair_families
from .drawing import MOST_PAIRS, DrawTask, draw
from .scores import scores
from .style_results import COLUMNS, SENTENCE, StyleScores, forms
from .styles import SPACES


@dataclass(frozen=True)
class ScoreStyles(Question[StyleScores, StyleScores]):
    """How many of n prompts a model gets right, of each family in each style it comes in.

    `families`: one, or several; without any, all that pairs can be drawn of. Each is drawn as
    `task(family, model, n, seed, style)` draws it. Raises: EngineError for a family there is not.
    """

    asks = "score_styles"
    n_plain = 2
    model: str
    families: Parsed[tuple[str, ...], str | tuple[str, ...]] = field(default=())
    n: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", as_name(self.model))
        given = self.families
        if not isinstance(given, str | tuple | list):
            raise EngineError(f"Families are named by texts, not by {given!r:.60}.")
        families = (given,) if isinstance(given, str) else tuple(given)
        object.__setattr__(self, "families", families)
        object.__setattr__(self, "n", whole_number(self.n, "How many pairs"))
        object.__setattr__(self, "seed", whole_number(self.seed, "The seed"))
        for family in families:
            DrawTask(family, self.model, self.n, self.seed)
        if len(set(families)) < len(families):
            raise EngineError("A family is asked of twice; name each once.")
        if not 1 <= self.n <= MOST_PAIRS:
            raise EngineError(f"1 to {MOST_PAIRS:,} pairs can be drawn, not {self.n:,}.")

    @property
    def model_name(self) -> str:
        return self.model

    def answered(self, model: Model) -> Answer[StyleScores, StyleScores]:
        """Snapshots, one more style of a family known in each; the last has all."""
        return Answer(lambda put: _steps(model, self, None, put))

    def answered_after(self, model: Model, so_far: StyleScores) -> Answer[StyleScores, StyleScores]:
        """The same, without what is known of it so far. Raises: EngineError for what is known of
        another model, or of other prompts."""
        if (so_far.model, so_far.n, so_far.seed) != (self.model, self.n, self.seed):
            raise EngineError("What is known so far is of other prompts.")
        return Answer(lambda put: _steps(model, self, so_far, put))


def score_styles(
    model: str,
    families: str | tuple[str, ...] = (),
    n: int = 12,
    seed: int = 0,
    view: str | None = None,
) -> StyleScores:
    """Ask `ScoreStyles` and wait for the end. Raises: EngineError in words; that one family cannot
    be drawn or scored is told in `reasons`."""
    return ask(ScoreStyles(model, families, n, seed), view)


def _steps(
    model: Model,
    asked: ScoreStyles,
    so_far: StyleScores | None,
    put: Callable[[StyleScores], None],
) -> Steps[StyleScores]:
    yield 0.0
    families = asked.families or pair_families()
    numbers = np.full((4, len(families), len(COLUMNS)), np.nan)
    reasons: dict[tuple[str, str], str] = {}
    cells = [(family, style) for family in families for style in forms(family)]
    for i, (family, style) in enumerate(cells):
        at = (families.index(family), COLUMNS.index(style))
        if so_far is not None and family in so_far.families and so_far.told(family, style):
            old = (so_far.families.index(family), at[1])
            known = (so_far.right, so_far.logit_diff, so_far.spread, so_far.n_prompts)
            numbers[:, *at] = [x[old] for x in known]
            if (family, style) in so_far.reasons:
                reasons[family, style] = so_far.reasons[family, style]
        else:
            try:
                found = yield from _within(i, len(cells), _scored(model, asked, family, style))
                numbers[:, *at] = found
            except EngineError as wrong:
                reasons[family, style] = str(wrong)
        right, diff, spread, n_prompts = numbers.copy()
        progress = (i + 1) / len(cells)
        result = StyleScores(
            asked.model, families, asked.n, asked.seed,
            right, diff, spread, n_prompts, dict(reasons), progress=progress,
        )  # fmt: skip
        put(result)
    return result


_Numbers = tuple[float, float, float, float]


def _scored(model: Model, asked: ScoreStyles, family: str, style: str) -> Steps[_Numbers]:
    """How many are right, mean and spread of the logit difference, how many prompts differ."""
    style = SPACES if style == SENTENCE else style
    drawn = draw(DrawTask(family, asked.model, asked.n, asked.seed, style))
    task = yield from beside_others(drawn)
    (clean,) = yield from scores(model, task, [Experiment(asked.model)])
    diff, n_prompts = clean.logit_diff, len({pair.prompt for pair in task.pairs})
    return float(clean.right.sum()), float(diff.mean()), float(diff.std()), float(n_prompts)


def _within(i: int, n: int, steps: Steps[_Numbers]) -> Steps[_Numbers]:
    """Steps that are the i-th of n parts of some work."""
    while True:
        try:
            share = next(steps)
        except StopIteration as end:
            result: _Numbers = end.value
            return result
        yield (i + share) / n
