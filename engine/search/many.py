"""The same search over several tasks, one after the other, to see whether it finds the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from ..asking import ask
from ..circuits.controls import number_of_controls
from ..errors import Cancelled, EngineError, ExperimentError
from ..experiment.numbers import whole_number
from ..experiment.question import Question
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..tasks.drafts import DRAFTS
from ..tasks.drawing import DrawFresh, DrawTask
from ..tasks.pairs import AsPairs, Task
from ..tasks.scores import ScoreTask
from .discover import Discover, python_of_search, search_of
from .many_results import DiscoveredMany
from .results import Discovery
from .search import Search

MOST_RUNS = 50


@dataclass(frozen=True)
class DiscoverMany(Question[DiscoveredMany, DiscoveredMany]):
    """The same search, run several times, on other pairs each time.

    `runs`: how many, 2 to MOST_RUNS. A task that was drawn is drawn again with the seeds that
    follow its own, the first run being on it itself; of other pairs as many are drawn with
    replacement, by `seed` and those that follow. `right`: whether only those the model gets right
    with nothing ablated are asked. `fresh`: whether each circuit is judged on pairs its search did
    not see: others of the family, or those its resample left out; where there are none, on its own.
    `controls`: how many random circuits each is compared with, drawn with `seed`. `save`: a folder
    in which the searches are kept while they run, each in a file of its own.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "discover_many"
    search: Search
    runs: int = 10
    controls: int = 20
    seed: int = 0
    right: bool = False
    fresh: bool = True
    save: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.search, Search):
            raise EngineError(f"A Search is run several times, not {self.search!r:.60}.")
        for name, what in (("runs", "How many runs"), ("seed", "The seed")):
            object.__setattr__(self, name, whole_number(getattr(self, name), what))
        object.__setattr__(self, "controls", number_of_controls(self.controls))
        for name in ("right", "fresh"):
            if not isinstance(getattr(self, name), bool):
                raise EngineError(f"“{name}” is True or False, not {getattr(self, name)!r:.40}.")
        if self.save is not None:
            object.__setattr__(self, "save", str(self.save))
        if not 2 <= self.runs <= MOST_RUNS:
            raise ExperimentError(
                f"A search is run 2 to {MOST_RUNS} times, not {self.runs:,}; a single one is "
                "`discover`."
            )
        if not self.drawn and len(self.search.task.pairs) < 2:
            raise ExperimentError(
                "One pair gives one search: nothing else can be drawn from it. Give several pairs, "
                "or a task family, to run a search several times."
            )

    @property
    def drawn(self) -> bool:
        """Whether the task was drawn, and so can be drawn again."""
        return self.search.task.family in DRAFTS and self.search.task.seed is not None

    @property
    def model_name(self) -> str:
        return self.search.model

    def answered(self, model: Model) -> Answer[DiscoveredMany, DiscoveredMany]:
        """Snapshots as each run ends; the last has all."""
        return self.answered_after(model, None)

    def answered_after(
        self, model: Model, so_far: DiscoveredMany | None
    ) -> Answer[DiscoveredMany, DiscoveredMany]:
        """The same, without the runs that are known already."""
        model.check_way("block by block", "search")
        return Answer(lambda put: _steps(model, self, so_far, put))

    def to_python(self, **named: str) -> str:
        return python_of_search(self, **named)


def discover_many(
    task: AsPairs,
    model: str = "",
    *,
    runs: int = 10,
    controls: int = 20,
    seed: int = 0,
    right: bool = False,
    fresh: bool = True,
    save: str | Path | None = None,
    view: str | None = None,
    **rule: object,
) -> DiscoveredMany:
    """Ask `DiscoverMany`, and wait for the end. `model` and `rule` are as in `discover`.

    Raises: EngineError in words; that of the last run where none gives a circuit.
    """
    path = None if save is None else str(save)
    search = search_of(task, model, rule)
    return ask(DiscoverMany(search, runs, controls, seed, right, fresh, path), view)


def _steps(
    model: Model,
    asked: DiscoverMany,
    so_far: DiscoveredMany | None,
    put: Callable[[DiscoveredMany], None],
) -> Steps[DiscoveredMany]:
    began = time.monotonic()
    runs: list[Discovery] = [] if so_far is None else list(so_far.runs)
    refused: list[tuple[int, str]] = [] if so_far is None else list(so_far.refused)
    before = len(runs) + len(refused)

    def snapshot() -> DiscoveredMany:
        done, seconds = len(runs) + len(refused), time.monotonic() - began
        each = seconds / (done - before) if done > before else None
        return DiscoveredMany(
            search=asked.search,
            asked=asked.runs,
            resampled=not asked.drawn,
            runs=tuple(runs),
            refused=tuple(refused),
            seconds=seconds,
            seconds_left=None if each is None else each * (asked.runs - done),
        )

    for i in range(before, asked.runs):
        steps = _run(model, asked, i)
        furthest = 0.0
        try:
            while True:
                furthest = max(furthest, next(steps))
                yield (i + furthest) / asked.runs
        except StopIteration as end:
            runs.append(end.value)
        except Cancelled:
            raise
        except EngineError as wrong:
            refused.append((_seed(asked, i), str(wrong)))
            if len(refused) == asked.runs:
                raise
        put(snapshot())
    return snapshot()


def _seed(asked: DiscoverMany, i: int) -> int:
    """By which the i-th task is drawn."""
    return i + ((asked.search.task.seed or 0) if asked.drawn else asked.seed)


def _run(model: Model, asked: DiscoverMany, i: int) -> Steps[Discovery]:
    """The i-th search. A run's walks come one after the other, so its share may fall."""
    task, fresh = yield from _tasks(model, asked, i)
    search = replace(asked.search, task=task)
    save = None if asked.save is None else str(Path(asked.save) / f"{search.digest}.json")
    one = Discover(search, asked.controls, asked.seed, fresh, save)
    result: Discovery = yield from one.answered(model).steps(_unseen)
    return result


def _tasks(model: Model, asked: DiscoverMany, i: int) -> Steps[tuple[Task, Task | None]]:
    """What the i-th search is on, and what its circuit is judged on, if on other pairs."""
    task, seed = asked.search.task, _seed(asked, i)
    if asked.drawn and i:
        draw = DrawTask(task.family, task.model or model.name, len(task.pairs), seed)
        task = yield from draw.answered(None).steps(_unseen)
    if asked.right:
        score = yield from ScoreTask(model.name, task).answered(model).steps(_unseen)
        task = task.without_wrong(score)
    fresh: Task | None = None
    if not asked.drawn:
        every = task.pairs
        places = Random(seed).choices(range(len(every)), k=len(every))
        out = tuple(pair for at, pair in enumerate(every) if at not in places)
        task = replace(task, family="", seed=seed, pairs=tuple(every[at] for at in places))
        if out and asked.fresh:
            fresh = replace(task, name=f"{task.name}, those left out", pairs=out)
    elif asked.fresh:
        fresh = yield from DrawFresh(task).answered(None).steps(_unseen)
    return task, fresh


def _unseen(_: Any) -> None:
    """What is known before a run ends, which no one looks at here."""
