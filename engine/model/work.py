"""An answer under way: how far it is, what is known by then, a way to call it off, its result.

Whoever lets go of it ends it: by `cancel()`, by forgetting it, or by being ended itself, as the
script of a closed browser tab is. Work that a view asked for also ends when for half a minute
nobody has looked at it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Generator, Hashable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from ..errors import Cancelled
from .worker import SWEEP, Steps, Worker

P = TypeVar("P")
T = TypeVar("T")
Put = Callable[[Any], None]

PATIENCE = 30.0
"""Seconds for which the work of a view goes on while nobody looks at it."""
_TELLING = 0.03
"""The share that must be done before work tells how long the rest takes."""
_OVER = object()


def _same(part: Any) -> Any:
    return part


@dataclass(frozen=True)
class Answer(Generic[P, T]):
    """How a question is answered by a model that is there.

    `steps` is given a way to hand over what is known by and by, and makes the result. `show` makes
    of each such part what a reader gets, on the reader's own thread. `newest`: each part holds all
    that is known, so that of those that wait only the last is handed out. `gather`: makes the
    result of all parts and what the steps gave; by itself that is what the steps give.
    """

    steps: Callable[[Put], Steps[Any]]
    show: Callable[[Any], P] = _same
    newest: bool = True
    priority: int = SWEEP
    gather: Callable[[list[P], Any], T] | None = None


class Going(Protocol):
    """What work consists of: a job of a worker, or a load."""

    @property
    def progress(self) -> float: ...

    def cancel(self) -> None: ...

    def when_done(self, tell: Callable[[], object]) -> None: ...

    def result(self, timeout: float | None = None) -> Any: ...


class Wanted:
    """Whether anybody still looks at some work; for ever, where `patience` is None."""

    def __init__(self, patience: float | None = None) -> None:
        self._patience = patience
        self._waiting = 0
        self._last = monotonic()

    def __call__(self) -> bool:
        if self._patience is None or self._waiting > 0:
            return True
        return monotonic() - self._last < self._patience

    def look(self) -> None:
        """Somebody looks."""
        self._last = monotonic()

    def __enter__(self) -> None:
        self._waiting += 1

    def __exit__(self, *_: object) -> None:
        self._waiting -= 1
        self.look()


class Execution:
    """The work itself, apart from the one who looks at it: that one may be forgotten."""

    def __init__(self, patience: float | None) -> None:
        self.wanted = Wanted(patience)
        self.parts: SimpleQueue[Any] = SimpleQueue()
        self.future: Future[Any] = Future()
        self.going: Going | None = None
        self._stop = threading.Event()

    def follow(self, going: Going, then: Callable[[Any], None]) -> None:
        """Have this going on, and do with its result what `then` says."""
        self.going = going
        if self._stop.is_set():
            going.cancel()

        def ended() -> None:
            over, self.going = self.going, None  # which would keep what it gave alive
            try:
                assert over is not None
                then(over.result())
            except BaseException as wrong:  # whatever it is, the one who waits must hear it
                self.fail(wrong)

        going.when_done(ended)

    def submit(self, worker: Worker, answer: Answer[Any, Any], view: Hashable | None) -> None:
        """Have a worker answer."""
        steps = answer.steps(self.parts.put)
        job = worker.submit(steps, priority=answer.priority, view=view, wanted=self.wanted)
        self.follow(job, self.end)

    def end(self, given: Any) -> None:
        """It is over, and this is what it gave."""
        self.future.set_result(given)
        self.parts.put(_OVER)

    def fail(self, wrong: BaseException) -> None:
        """It is over, and this is why it gave nothing."""
        self.future.set_exception(wrong)
        self.parts.put(_OVER)

    def cancel(self) -> None:
        """Stop before the next step."""
        self._stop.set()
        if self.going is not None:
            self.going.cancel()


class Work(Generic[P, T]):
    """An answer under way, for the one who asked: iterate over what is known by and by, or wait
    for the result.

    Of snapshots that each hold all that is known only the newest is handed out; other parts all
    are, in the order they are made. The iterator ends with the work, and at once behind `cancel()`.
    Raises, from `next` and `result`: what the work raised; Cancelled where it was called off, by a
    newer request of the same view or because nobody looked at it.
    """

    answer: Answer[P, T]
    """How it is answered; there once the model is loaded."""

    def __init__(self, run: Execution) -> None:
        self._run = run
        self._all: list[P] = []
        self._read = False
        self._given: Any = None
        self._begun = monotonic()
        self.stopped = False
        """Whether it was called off by its own `cancel()`."""
        weakref.finalize(self, run.cancel)
        self.latest: P | None = None
        """The last part that was read, None before there is one."""

    @property
    def progress(self) -> float:
        """How far the work is, 0 to 1: of the model's loading, and then of the answer."""
        self._run.wanted.look()
        going = self._run.going
        if going is not None:
            return going.progress
        return 1.0 if self._run.future.done() else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes if it goes on as it has gone; None before enough is done to tell.
        Of an answer gone on with, what its own parts say is nearer."""
        share = self.progress
        return None if share < _TELLING else (monotonic() - self._begun) * (1 / share - 1)

    @property
    def doing(self) -> str:
        """What is done just now to load a model, as in "Reading the weights"; else empty."""
        return getattr(self._run.going, "doing", "")

    @property
    def done(self) -> bool:
        """Whether it is over, however it ended."""
        self._run.wanted.look()
        return self.stopped or self._run.future.done()

    @property
    def is_over(self) -> bool:
        """The same as `done`, asked by somebody who does not wait for it."""
        return self.stopped or self._run.future.done()

    @property
    def ended(self) -> str:
        """How it ended, where it says so in a sentence, once the last part is read; else empty."""
        if self.stopped:
            return "Stopped."
        return self._given if isinstance(self._given, str) else ""

    @property
    def so_far(self) -> Any:
        """All that is known by now: the last snapshot, or, where parts are gathered to the result,
        that of those which were read; None before there are any."""
        answer = getattr(self, "answer", None)  # which is not there while the model is loaded
        if answer is not None and answer.gather is not None:
            return answer.gather(self._all, None)
        return self.latest

    def look(self) -> None:
        """Say that somebody still wants it."""
        self._run.wanted.look()

    def cancel(self) -> None:
        """End the work before its next step; the iterator ends at once."""
        self.stopped = True
        self._run.cancel()
        self._run.parts.put(_OVER)

    def when_done(self, tell: Callable[[], object]) -> None:
        """Call `tell` once it is over, however it ends; at once if it is."""
        self._run.future.add_done_callback(lambda _: tell())

    def result(self, timeout: float | None = None) -> T:
        """Wait for the result. Raises: what the work raised, Cancelled, or TimeoutError."""
        if self.stopped:
            raise Cancelled("This work was called off.")
        with self._run.wanted:
            given = self._run.future.result(timeout)
        if self.answer.gather is None:
            result: T = given
            return result
        for _ in self:
            pass
        return self.answer.gather(self._all, given)

    def __iter__(self) -> Iterator[P]:
        return self

    def __next__(self) -> P:
        result = self._next(None)
        assert result is not None  # without a limit of time there is a part or the end
        return result

    def within(self, seconds: float) -> Generator[P | None, None, None]:
        """The parts, and None whenever there was none for so many seconds."""
        while True:
            try:
                result = self._next(seconds)
            except StopIteration:
                return
            yield result

    def _next(self, seconds: float | None) -> P | None:
        result = _OVER
        if not (self.stopped or self._read):
            try:
                result = self._waiting(seconds)
            except Empty:
                return None
        if not self.stopped and result is _OVER:
            self._run.parts.put(_OVER)  # so that another next() does not wait for ever
            self._given = self._run.future.result()
            self._read = True
        if self.stopped or self._read:
            raise StopIteration
        self.latest = self.answer.show(result)
        if self.answer.gather is not None:
            self._all.append(self.latest)
        return self.latest

    def _waiting(self, seconds: float | None) -> Any:
        """What comes next, or, of the snapshots that wait, the last."""
        with self._run.wanted:
            result = self._run.parts.get(timeout=seconds)
        while result is not _OVER and self.answer.newest and not self._run.parts.empty():
            later = self._run.parts.get()
            if later is _OVER:
                self._run.parts.put(_OVER)
                break
            result = later
        return result
