"""A load under way: work like any other, shared by all who ask for the same model.

It runs on a thread of its own, tells how far it is, and ends early only when all who asked for it
have called it off. Whatever ends it early, nothing of it is kept.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Generic, TypeVar

from ..errors import Cancelled

T = TypeVar("T")


class Loading(Generic[T]):
    """One asker's side of a load: its progress (0 to 1), a way to call it off, and its result."""

    def __init__(self, load: Load[T], wanted: Callable[[], bool]) -> None:
        self._load = load
        self._future: Future[T] = Future()
        self.wanted = wanted
        """Whether this asker still wants it."""

    @property
    def name(self) -> str:
        """What is loaded, as the first who asked for it called it."""
        return self._load.name

    @property
    def progress(self) -> float:
        """How far it is, 0 to 1, of what is done just now."""
        return self._load.progress

    @property
    def doing(self) -> str:
        """What is done just now, as in "Reading the weights"."""
        return self._load.doing

    @property
    def done(self) -> bool:
        """Whether it is over, however it ended."""
        return self._future.done()

    def end(self, result: Future[T]) -> None:
        """Take over how the load ended."""
        wrong = result.exception()
        with contextlib.suppress(InvalidStateError):  # this asker has called it off
            if wrong is not None:
                self._future.set_exception(wrong)
            else:
                self._future.set_result(result.result())

    def cancel(self) -> None:
        """Call it off for this asker; the load itself ends when nobody wants it any more."""
        with contextlib.suppress(InvalidStateError):  # it is over
            self._future.set_exception(Cancelled("This load was called off."))
            self._load.leave(self)

    def when_done(self, tell: Callable[[], object]) -> None:
        """Call `tell` once it is over, however it ends; at once if it is."""
        self._future.add_done_callback(lambda _: tell())

    def result(self, timeout: float | None = None) -> T:
        """Wait for the model. Raises: ModelError in words, or Cancelled where it was called off."""
        return self._future.result(timeout)


class Load(Generic[T]):
    """The load itself. `work` is given it, to tell of progress and to ask whether to go on."""

    def __init__(self, name: str, work: Callable[[Load[T]], T]) -> None:
        self.name = name
        self.progress, self.doing = 0.0, "Looking for it"
        self.future: Future[T] = Future()
        self._askers: list[Loading[T]] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(work,), name=f"loading {name[:60]}", daemon=True
        )

    def begin(self) -> None:
        """Start it."""
        self._thread.start()

    def ask(self, wanted: Callable[[], bool] = lambda: True) -> Loading[T] | None:
        """Take part in it, as long as it is `wanted`; None where it was called off already."""
        with self._lock:
            if self._stop.is_set():
                return None
            question = Loading(self, wanted)
            if not self.future.done():
                self._askers.append(question)
                return question
        question.end(self.future)
        return question

    def leave(self, question: Loading[T]) -> None:
        """No longer take part in it. The last to leave calls it off."""
        with self._lock:
            if question in self._askers:
                self._askers.remove(question)
                if not self._askers:
                    self._stop.set()

    def end(self) -> None:
        """Tell those who asked for it that it is over."""
        with self._lock:
            askers, self._askers = self._askers, []
        for question in askers:
            question.end(self.future)

    def going_on(self) -> None:
        """Raises: Cancelled where it was called off, or nobody wants it any more."""
        with self._lock:
            unwanted = [question for question in self._askers if not question.wanted()]
        for question in unwanted:
            question.cancel()
        if self._stop.is_set():
            raise Cancelled("This load was called off.")

    def tell(self, progress: float, doing: str) -> None:
        """Say how far it is, of what. Raises: Cancelled where it was called off."""
        self.progress, self.doing = progress, doing
        self.going_on()

    def _run(self, work: Callable[[Load[T]], T]) -> None:
        frozen = _frozen.last
        try:
            result = work(self)
        except BaseException as wrong:  # whatever it is, those who wait must hear it
            let_go(wrong)
            if _frozen.last is not frozen:  # another load froze what this one had made
                gc.unfreeze()
            gc.collect()
            _frozen.anew()
            with self._lock:
                self.future.set_exception(wrong)
        else:
            gc.collect()
            _frozen.anew()
            self.progress = 1.0
            with self._lock:
                self.future.set_result(result)
        self.end()


class _Frozen:
    """What loaded models keep alive, which need not be searched for garbage again. `last`: another
    object after every freeze, for to count what is frozen takes a while."""

    def __init__(self) -> None:
        self.last = object()

    def anew(self) -> None:
        """Freeze all that is alive."""
        self.last = object()
        gc.freeze()


_frozen = _Frozen()


def let_go(wrong: BaseException) -> None:
    """Empty the frames an exception came through, which would keep what was being read alive."""
    seen: set[int] = set()
    chain: list[BaseException | None] = [wrong]
    while chain:
        one = chain.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            traceback.clear_frames(one.__traceback__)
            chain += [one.__cause__, one.__context__]


def reading(load: Load[T], n_tensors: int) -> Callable[[], None]:
    """What to call at every part and weight of a model being read: it tells how far that is."""
    steps = itertools.count()
    most = 6 * n_tensors + 10  # a part, a weight made, a weight read, and such

    def step() -> None:
        load.tell(min(0.9, next(steps) / most), "Reading the weights")

    return step


def loaded_already(name: str, result: T) -> Loading[T]:
    """A load that is over before it began."""
    load: Load[T] = Load(name, lambda _: result)
    load.future.set_result(result)
    load.progress = 1.0
    question = load.ask()
    assert question is not None
    return question
