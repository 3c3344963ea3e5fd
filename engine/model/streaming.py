"""Results handed out one by one while the worker goes on: an iterator over a job.

Whoever lets go of the iterator ends the work: by `cancel()`, by leaving the loop for good, or by
being ended itself, as the script of a closed browser tab is.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Hashable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from ..errors import Cancelled
from .worker import INTERACTIVE, Job, Worker

T = TypeVar("T")
_OVER = object()


class Stream(Generic[T]):
    """An iterator of results, in the order the worker makes them.

    `work` is given a way to hand over what it has made, as a job's steps that return a sentence on
    how they ended; `finish` makes a result of each on the reader's own thread, beside the worker.
    `ended`: that sentence, empty until the last result is read. `newest`: of the results that wait,
    only the last is handed out, for those that each hold all that is known.
    Raises, from `next`: what the work raised; Cancelled where a newer request of the same view has
    replaced it. After its own `cancel()` it simply ends.
    """

    def __init__(
        self,
        worker: Worker,
        work: Callable[[Callable[[Any], None]], Generator[float, None, str]],
        finish: Callable[[Any], T],
        *,
        priority: int = INTERACTIVE,
        view: Hashable | None = None,
        newest: bool = False,
    ) -> None:
        queue: SimpleQueue[Any] = SimpleQueue()
        self._queue = queue
        self._finish = finish
        self._newest = newest
        self._stopped = False
        self._job: Job[str] = worker.submit(work(queue.put), priority=priority, view=view)
        self._job.when_done(lambda: queue.put(_OVER))
        weakref.finalize(self, self._job.cancel)
        self.ended = ""

    @property
    def progress(self) -> float:
        """How far the work is, 0 to 1."""
        return self._job.progress

    def cancel(self) -> None:
        """End the work before its next step; the iterator ends at once."""
        self._stopped = True
        self._job.cancel()
        self._queue.put(_OVER)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        found = self._next(None)
        assert found is not None  # without a limit of time there is a result or the end
        return found

    def within(self, seconds: float) -> Iterator[T | None]:
        """The results, and None whenever there was none for so many seconds."""
        while True:
            try:
                found = self._next(seconds)
            except StopIteration:
                return
            yield found

    def _next(self, seconds: float | None) -> T | None:
        found = _OVER
        if not (self._stopped or self.ended):
            try:
                found = self._waiting(seconds)
            except Empty:
                return None
        if self._stopped:
            self.ended = self.ended or "Stopped."
        if not self.ended and found is _OVER:
            self._queue.put(_OVER)  # so that another next() after an error does not wait for ever
            self.ended = self._job.result()
        if self.ended:
            raise StopIteration
        return self._finish(found)

    def _waiting(self, seconds: float | None) -> Any:
        """What comes next, or, of the results that wait, the last."""
        found = self._queue.get(timeout=seconds)
        while self._newest and found is not _OVER and not self._queue.empty():
            later = self._queue.get()
            if later is _OVER:
                self._queue.put(_OVER)
                break
            found = later
        return found


class Snapshots(Stream[T]):
    """Results that each hold all that is known by then; the last is the end."""

    def collected(self) -> T:
        """Wait for the end. Raises: as the iterator does; Cancelled if the work was called off
        before anything was known."""
        found: T | None = None
        for one in self:
            found = one
        if found is None:
            raise Cancelled("This was called off before anything was known.")
        return found
