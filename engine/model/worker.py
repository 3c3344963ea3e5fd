"""Who may run the model, and when: one thread a model, a queue in front of it.

Hooks on a shared model are not thread-safe, so nothing but its worker's thread calls a model; parts
of one step that have modules of their own may be done at once.
Work is a generator: each `yield` tells how far it is (0 to 1) and lets more urgent work in
between; its `return` value is the result. A new request from a view replaces the view's old one.
"""

from __future__ import annotations

import atexit
import heapq
import itertools
import threading
import time
import weakref
from collections.abc import Callable, Generator, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Generic, TypeVar

import torch

from ..errors import Cancelled

T = TypeVar("T")
Steps = Generator[float, None, T]

CORES = torch.get_num_threads()
"""The processor's, as many as torch takes by itself."""

_STRETCH, _REST = 0.002, 0.004
"""Seconds that pure Python goes on for, and rests for behind it."""
_AT_EXIT = 20.0
"""Seconds that a step under way may take when the interpreter ends."""
_NEXT = 0.03
"""Seconds for which long work waits behind a view's question, as its view may ask another."""
INTERACTIVE = 0
SWEEP = 10


class Job(Generic[T]):
    """Work that was asked for: its progress (0 to 1), a way to cancel it, and its result."""

    def __init__(
        self,
        steps: Steps[T],
        priority: int,
        view: Hashable | None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._steps = steps
        self._wanted = wanted
        self.priority = priority
        self.view = view
        self.progress = 0.0
        self._future: Future[T] = Future()
        self._stop = threading.Event()

    @property
    def done(self) -> bool:
        return self._future.done()

    def cancel(self) -> None:
        """Stop before the next step; waiting for the result then raises Cancelled."""
        self._stop.set()

    def when_done(self, tell: Callable[[], object]) -> None:
        """Call `tell` once the work is over, however it ends; at once if it is."""
        self._future.add_done_callback(lambda _: tell())

    def result(self, timeout: float | None = None) -> T:
        """Wait for the result. Raises: what the work raised, or Cancelled."""
        return self._future.result(timeout)

    def step(self) -> bool:
        """Do one step, on the worker's thread. Returns: whether there is more to do."""
        try:
            if self._stop.is_set():
                self._steps.close()
                raise Cancelled("This work was called off.")
            if not self._wanted():
                self._steps.close()
                raise Cancelled("Nobody looked at this work any more, so it was called off.")
            self.progress = next(self._steps)
            return True
        except StopIteration as end:
            self.progress = 1.0
            self._future.set_result(end.value)
        except BaseException as wrong:  # whatever it is, the one who waits must hear it
            self._future.set_exception(wrong)
        return False


class Worker:
    """The one thread that runs a model."""

    def __init__(self, name: str) -> None:
        self._queue: list[tuple[int, int, Job[Any]]] = []
        self._order = itertools.count()
        self._ready = threading.Condition()
        self._latest: dict[Hashable, Job[Any]] = {}
        self._closed = False
        self._name = name
        self._helpers: ThreadPoolExecutor | None = None
        self._thread = threading.Thread(target=self._loop, name=f"worker {name}", daemon=True)
        self._thread.start()
        _open.add(self)

    def submit(
        self,
        steps: Steps[T],
        *,
        priority: int = INTERACTIVE,
        view: Hashable | None = None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> Job[T]:
        """Queue work; smaller `priority` goes first, equal ones in turn.

        `view`: whose question this is; its older unfinished request is cancelled. `wanted`: asked
        before each step whether anybody still looks at it.
        """
        job = Job(steps, priority, view, wanted)
        with self._ready:
            if self._closed:
                raise Cancelled("The model was released while this was asked; ask again.")
            if view is not None:
                older = self._latest.get(view)
                if older is not None:
                    older.cancel()
                self._latest[view] = job
            heapq.heappush(self._queue, (priority, next(self._order), job))
            self._ready.notify()
        return job

    def run(
        self, work: Callable[[], T], *, priority: int = INTERACTIVE, view: Hashable | None = None
    ) -> T:
        """Run one undivided piece of work on the worker's thread and wait for it."""
        if self.is_current:
            return work()
        return self.submit(_single(work), priority=priority, view=view).result()

    def together(self, parts: Sequence[Callable[[], T]]) -> list[T]:
        """Do parts of a step at once, the first on this thread, which is the worker's, and share
        the cores out among them.

        Returns: what each gave. Raises: what the first of them raised, once all are over.
        """
        if len(parts) == 1:
            return [parts[0]()]
        if self._helpers is None:
            self._helpers = ThreadPoolExecutor(thread_name_prefix=f"beside {self._name}")
        cores = max(1, CORES // len(parts))
        before = torch.get_num_threads()
        others = [self._helpers.submit(_on_cores, cores, part) for part in parts[1:]]
        try:
            torch.set_num_threads(cores)
            first = parts[0]()
        finally:
            wait(others)
            torch.set_num_threads(before)  # a new thread takes the last number set by any other
        return [first, *(other.result() for other in others)]

    @property
    def is_current(self) -> bool:
        """Whether the caller is this worker's own thread."""
        return threading.current_thread() is self._thread

    def close(self, seconds: float | None = None) -> None:
        """Finish the step under way, cancel the rest, end the thread; wait at most so many seconds
        for that."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        if not self.is_current:
            self._thread.join(seconds)

    def _loop(self) -> None:
        torch.set_num_threads(CORES)  # a new thread's own number is what another's is just now
        priority = SWEEP
        with torch.no_grad():
            while True:
                with self._ready:
                    self._ready.wait_for(lambda: self._queue or self._closed)
                    if priority == INTERACTIVE and not self._closed:
                        self._ready.wait_for(self._is_asked, _NEXT)
                    if self._closed:
                        break
                    priority, _, job = heapq.heappop(self._queue)
                more = job.step()
                with self._ready:
                    if more:
                        heapq.heappush(self._queue, (priority, next(self._order), job))
                    elif job.view is not None and self._latest.get(job.view) is job:
                        del self._latest[job.view]
                del job
        for _, _, job in self._queue:
            job.cancel()
            job.step()
        self._queue.clear()
        if self._helpers is not None:
            self._helpers.shutdown()

    def _is_asked(self) -> bool:
        """Whether there is a view's question to be answered, or nothing more to do."""
        return self._closed or self._queue[0][0] == INTERACTIVE


_open: weakref.WeakSet[Worker] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """End every worker before the interpreter does: a thread within torch then aborts it."""
    for worker in list(_open):
        worker.close(_AT_EXIT)


def finished(steps: Steps[T]) -> T:
    """Do all the steps of a piece of work at once. Returns: its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@torch.no_grad()
def _on_cores(n: int, part: Callable[[], T]) -> T:
    if torch.get_num_threads() != n:
        torch.set_num_threads(n)
    return part()


def beside_others(steps: Steps[T]) -> Steps[T]:
    """The same work in pure Python, which rests twice as long as it works, so that the interpreter
    is free for others most of the time."""
    while True:
        begun = time.monotonic()
        while time.monotonic() - begun < _STRETCH:
            try:
                share = next(steps)
            except StopIteration as end:
                return end.value
        time.sleep(_REST)
        yield share


def no_steps() -> Steps[None]:
    """Work in which there is nothing to do."""
    return
    yield 0.0


def _single(work: Callable[[], T]) -> Steps[T]:
    return work()
    yield 0.0
