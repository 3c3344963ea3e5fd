"""How a model does on a task, clean and ablated: every pair in every run, many rows a pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from ..asking import ask
from ..errors import EngineError
from ..experiment.experiment import Experiment, check_experiment
from ..experiment.method import Method
from ..experiment.question import Question
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes.hooks import Edit
from ..passes.pace import Pace
from ..passes.prepare import Prepared, prepare
from ..registry import as_name
from ..scoring.answers import Answers, answers_of
from ..scoring.scores import Line, scored, texts_of
from .pairs import Task, as_task, asked_of
from .results import PairScores, TaskScore


@dataclass(frozen=True)
class _Shared:
    """What pairs share in a run, by the length of their prompt, and that of their text: they are
    prepared alike, unless each has values of its own."""

    prepared: dict[tuple[int, int], Prepared] = field(default_factory=dict)
    edits: dict[tuple[int, int, int], tuple[Edit, ...]] = field(default_factory=dict)


_MOST_HELD = 1_024
"""Tokens gathered to be run together; as many at once as fit in a step."""


@dataclass(frozen=True)
class ScoreTask(Question[None, TaskScore]):
    """Every pair of a task scored, clean and under an experiment's ablations.

    The experiment gives its changes and references; its own texts are not asked. Where it averages
    and names no references, the task's corrupted prompts are those.
    """

    asks = "score_task"
    n_plain = 2
    model: str
    task: Task
    e: Experiment | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", as_name(self.model))
        object.__setattr__(self, "task", as_task(self.task, self.model))
        if self.e is not None:
            check_experiment(self.e)

    @property
    def model_name(self) -> str:
        return self.model

    def answered(self, model: Model) -> Answer[None, TaskScore]:
        """TaskScore; each number is that of `next_token` on the pair."""
        e = replace(self.e or Experiment(), model=self.model)
        runs = [e.clean, e] if e.every_change else [e.clean]

        def steps(_: object) -> Steps[TaskScore]:
            clean, *ablated = yield from scores(model, self.task, runs)
            notes = _notes(self.task, clean)
            if not ablated:
                return TaskScore(self.model, clean, None, notes)
            methods = [change.becomes for change in e.every_change]
            late = late_notes(model, [asked_of(e, pair) for pair in self.task.pairs], methods)
            return TaskScore(self.model, clean, ablated[0], (*notes, *late))

        return Answer(steps)


def score_task(
    model: str, task: Task, e: Experiment | None = None, view: str | None = None
) -> TaskScore:
    """Ask `ScoreTask` and wait for the result.

    Raises: EngineError naming the pair that cannot be scored.
    """
    return ask(ScoreTask(model, task, e), view)


def scores(model: Model, task: Task, runs: Sequence[Experiment]) -> Steps[list[PairScores]]:
    """Ask each run of each pair, on the worker's thread, a few rows a step.

    Returns: the scores of each run. Raises: EngineError naming the pair that cannot be scored.
    """
    sharing = _Shared()
    logit_diffs = np.full((len(runs), len(task.pairs)), np.nan)
    probs = np.zeros((len(runs), len(task.pairs)))
    ranks = np.zeros((len(runs), len(task.pairs)), np.int64)
    waiting: list[Line] = []
    places: list[tuple[int, int]] = []
    held, pace = 0, Pace(model)

    def run(start: int, stop: int) -> None:
        some = scored(model, waiting[start:stop])
        for at, (answer, diff) in zip(places[start:stop], some, strict=True):
            logit_diffs[at], probs[at], ranks[at] = diff, answer.prob, answer.rank

    for p, pair in enumerate(task.pairs):
        answers = _question(model, task, p, asked_of(runs[0], pair))
        for r, e in enumerate(runs):
            one = asked_of(e, pair, task.references)
            edits = yield from _edits(model, task, (p, r), one, answers, sharing)
            waiting.append(Line(answers, edits))
            places.append((r, p))
            held += sum(map(len, texts_of(answers)))
            last = p + 1 == len(task.pairs) and r + 1 == len(runs)
            if held < _MOST_HELD and not last:
                continue
            cost = held * sum(pace.block_cost) / len(waiting)
            for _ in pace.steps(len(waiting), cost, 0, run):
                yield (p * len(runs) + r + 1) / (len(runs) * len(task.pairs))
            waiting, places, held = [], [], 0
    return [
        PairScores(diff, prob, rank)
        for diff, prob, rank in zip(logit_diffs, probs, ranks, strict=True)
    ]


def _question(model: Model, task: Task, p: int, e: Experiment) -> Answers:
    with _named(task, p, e):
        answers = answers_of(model, e)
        if not answers.answer:
            raise EngineError(
                answers.notes[0] if answers.notes else "it has no answer to be scored; give one."
            )
        return answers


def _edits(
    model: Model,
    task: Task,
    at: tuple[int, int],
    e: Experiment,
    answers: Answers,
    sharing: _Shared,
) -> Steps[list[tuple[Edit, ...]]]:
    """The edits of each text. Pairs of one length share them, unless each has its own values."""
    run, n = at[1], len(answers.prompt)
    own = any(change.becomes.kind.takes == "corrupted" for change in e.every_change)
    shared = _Shared() if own else sharing
    with _named(task, at[0], e):
        if (run, n) not in shared.prepared:
            shared.prepared[run, n] = yield from prepare(model, e, answers.prompt)
        result = []
        for text in texts_of(answers):
            key = (run, n, len(text))
            if key not in shared.edits:
                shared.edits[key] = shared.prepared[run, n].edits(len(text))
            result.append(shared.edits[key])
    return result


@contextmanager
def _named(task: Task, p: int, e: Experiment) -> Iterator[None]:
    """Say of which pair an error is."""
    try:
        yield
    except EngineError as wrong:
        raise type(wrong)(
            f"Pair {p + 1} of “{task.name[:60]}”, “{e.prompt[:60]}”: {wrong}"
        ) from wrong


def late_notes(model: Model, each: Sequence[Experiment], methods: Sequence[Method]) -> list[str]:
    """What to tell where experiments, changed by these methods, are decided behind their prompt's
    end, and a method has no values there."""
    bound = dict.fromkeys(method for method in methods if method.kind.by_position)
    late = sum(answers_of(model, e).decided > 0 for e in each) if bound else 0
    if not late:
        return []
    alone = len(bound) == len(set(methods))
    return [
        f"In {late} of {len(each)} pairs answer and distractor begin with the same tokens, and "
        f"{' and '.join(map(str, bound))} {'has' if len(bound) == 1 else 'have'} values for the "
        "prompt's tokens only: where those pairs are decided nothing is changed"
        f"{'' if alone else ' by it' if len(bound) == 1 else ' by them'}. Put what they share at "
        "the end of both prompts."
    ]


def _notes(task: Task, clean: PairScores) -> tuple[str, ...]:
    notes = list(task.notes)
    n = len(task.pairs)
    undecided = int(np.isnan(clean.logit_diff).sum())
    if undecided:
        notes.append(
            f"{undecided} of the {n} pairs have no logit difference: no single token tells their "
            "answer and distractor apart."
        )
    wrong = n - int(clean.right.sum())
    if wrong:
        notes.append(
            f"The model gets {wrong} of the {n} pairs wrong with nothing ablated; what is found "
            "on them is not how it does the task."
        )
    return tuple(notes)
