"""Questions put to the models that answer them: `begin`, and `ask` for those who wait.

A model that is not loaded yet is loaded first, as part of the work. What needs no model is done on
a thread of its own, a step of each at a time.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from .errors import EngineError
from .experiment.question import Question
from .model.model import Model
from .model.work import PATIENCE, Answer, Execution, Work
from .model.worker import Worker, no_steps
from .registry import as_name, loaded, loading

P = TypeVar("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Load(Question[None, Model]):
    """A model to be loaded, as `load` does; its Work is shared by all who begin the same."""

    asks = "load"
    name: str
    device: str | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", as_name(self.name))

    @property
    def model_name(self) -> str:
        return self.name


_views: weakref.WeakValueDictionary[Hashable, Execution] = weakref.WeakValueDictionary()
_lock = threading.Lock()
_WHOLE: Answer[Any, Any] = Answer(lambda _: no_steps())
"""Of a load there is nothing to be seen before it is over."""


def begin(
    question: Question[P, T],
    view: Hashable | None = None,
    patience: float | None = None,
    so_far: P | None = None,
) -> Work[P, T]:
    """Begin to answer a question, and go on.

    `view`: whose question this is; what it asked before and has no answer yet is called off, and
    so is this when for `patience` seconds (30 by itself) nobody has looked at it. Without a view
    it goes on for as long as the Work is held, unless there is a patience. `so_far`: what an
    earlier Work of the same question knew when it was stopped; a sweep goes on from there.
    Returns: Work, with `progress`, what is known by and by, `cancel()` and `result()`.
    Raises: EngineError in words for a question that cannot be asked of a loaded model; of one that
    is not loaded yet, where the Work is waited for.
    """
    if not isinstance(question, Question):
        raise EngineError(f"A question is begun, such as engine.Sweep(e), not {question!r:.60}.")
    if patience is None and view is not None:
        patience = PATIENCE
    run = Execution(patience)
    work: Work[P, T] = (question.work_kind or Work)(run)
    older = _remember(view, run)
    try:
        _begin(question, work, run, view, so_far)
    finally:
        if older is not None:
            older.cancel()  # behind the new one, which may share its load
    return work


def ask(question: Question[Any, T], view: Hashable | None = None) -> T:
    """Begin to answer a question, and wait for the result.

    Raises: EngineError in words; Cancelled where a newer question of the same view came.
    """
    return begin(question, view).result()


def _begin(
    question: Question[P, T],
    work: Work[P, T],
    run: Execution,
    view: Hashable | None,
    so_far: P | None,
) -> None:
    name = question.model_name

    def put_to(work: Work[P, T], model: Model | None) -> None:
        if so_far is None:
            work.answer = question.answered(model)
        else:
            work.answer = question.answered_after(model, so_far)
        run.submit(_beside() if model is None else model.worker, work.answer, view)

    if isinstance(question, Load):
        work.answer = _WHOLE
        wish = (question.name, question.device, question.dtype)
        run.follow(loading(*wish, wanted=run.wanted), run.end)
    elif name is None:
        put_to(work, None)
    elif (model := loaded(name)) is not None:
        put_to(work, model)
    else:
        asker = weakref.ref(work)

        def then(model: Model) -> None:
            work = asker()
            if work is not None:
                put_to(work, model)

        run.follow(loading(name, wanted=run.wanted), then)


def _remember(view: Hashable | None, run: Execution) -> Execution | None:
    """Note what a view asks. Returns: what it asked before, if that is not over."""
    if view is None:
        return None
    with _lock:
        older = _views.get(view)
        _views[view] = run
    return older


@lru_cache(1)
def _beside() -> Worker:
    """Who answers what needs no model."""
    return Worker("without a model")
