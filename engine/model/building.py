"""Watch a model as its modules are made: it may be called off, and may not outgrow its files.

Modules, weights and buffers are counted as they are registered, on the thread that makes them,
and making them ends where more is claimed than the stored tensors could fill. They are made
without memory (on torch's meta device), so that what is refused has cost next to nothing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as registering
from transformers import PreTrainedModel

from ..errors import ModelError

_FREE_NUMBERS, _FREE_MODULES, _FREE_BUFFERS = 2**20, 5000, 2**28
_TIMES_NUMBERS, _TIMES_MODULES = 3, 16
"""Shared weights are registered wherever they are used, before they are tied to one another; and
some modules have no weights."""


@dataclass
class Watch:
    """What a load has made so far, and how much that may be.

    `n_numbers` and `n_tensors`: what its files store. `going_on` raises where it was called off.
    """

    name: str
    n_numbers: int
    n_tensors: int
    going_on: Callable[[], None]
    numbers: int = 0
    buffers: int = 0
    modules: int = 0
    is_built: bool = False

    def module(self, made: nn.Module | None) -> None:
        """Count a module. Raises: ModelError for one too many."""
        self.going_on()
        self.modules += 1
        if self.modules > _FREE_MODULES + _TIMES_MODULES * self.n_tensors and not self.is_built:
            self._refuse(f"more than {self.modules - 1:,} parts", f"{self.n_tensors:,} tensors")

    def parameter(self, made: nn.Parameter | None) -> None:
        """Count a weight. Raises: ModelError for one too many."""
        self.going_on()
        self.numbers += made.numel() if made is not None else 0
        if self.numbers > _FREE_NUMBERS + _TIMES_NUMBERS * self.n_numbers and not self.is_built:
            self._refuse(f"at least {self.numbers:,} numbers", f"{self.n_numbers:,}")

    def buffer(self, made: Tensor | None) -> None:
        """Count a buffer. Raises: ModelError for one too many."""
        self.going_on()
        self.buffers += made.nbytes if made is not None else 0
        if self.buffers > _FREE_BUFFERS + 8 * self.n_numbers and not self.is_built:
            self._refuse(
                f"at least {self.buffers:,} bytes of tables", f"{self.n_numbers:,} numbers"
            )

    def _refuse(self, claimed: str, held: str) -> None:
        raise ModelError(
            f"The config of “{self.name}” describes a model of {claimed}; its files hold {held}. "
            "It does not describe these weights; give the config they were saved with."
        )


_watches: dict[int, Watch] = {}
_building = threading.Lock()
"""Held while modules are made: transformers changes torch's defaults and its own classes for that
time, for every thread alike. What is made in it is bounded by the watch."""


@contextlib.contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Have a watch see what this thread registers. Only one at a time on a thread."""
    own = threading.get_ident()

    def of_this_thread(see: Callable[[Any], None]) -> Callable[[Any, str, Any], None]:
        def seen(_module: Any, _name: str, made: Any) -> None:
            if threading.get_ident() == own:
                see(made)

        return seen

    with contextlib.ExitStack() as hooks:
        for register, see in (
            (registering.register_module_module_registration_hook, watch.module),
            (registering.register_module_parameter_registration_hook, watch.parameter),
            (registering.register_module_buffer_registration_hook, watch.buffer),
        ):
            hooks.callback(register(of_this_thread(see)).remove)
        _watches[own] = watch
        hooks.callback(_watches.pop, own)
        yield


def go_on() -> None:
    """Raise what calls off the load under way on this thread, if there is one and it was."""
    watch = _watches.get(threading.get_ident())
    if watch is not None:
        watch.going_on()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Wait until nobody else makes modules; the wait may be called off like the rest."""
    while not _building.acquire(timeout=0.05):
        go_on()
    try:
        yield
    finally:
        _building.release()
        watch = _watches.get(threading.get_ident())
        if watch is not None:
            watch.is_built = True


def _one_at_a_time() -> None:
    """Have transformers make the modules of one model at a time, whoever asks for it.

    While it does it has no model tie its weights, so that the end of another's reading, where
    these are tied, must not fall into that time; and two threads within its contexts leave its
    classes changed for good. The reading of weights, which takes the time, lies between the two.
    """
    contexts: Any = PreTrainedModel.__dict__["get_init_context"]
    finalize: Any = PreTrainedModel.__dict__["_finalize_model_loading"]

    def contexts_alone(cls: type, *args: Any, **named: Any) -> list[Any]:
        return [_alone(), *contexts.__get__(None, cls)(*args, **named)]

    def finalize_alone(*args: Any, **named: Any) -> Any:
        with _alone():
            return finalize.__func__(*args, **named)

    for name, kind, alone in (
        ("get_init_context", classmethod, contexts_alone),
        ("_finalize_model_loading", staticmethod, finalize_alone),
    ):
        setattr(PreTrainedModel, name, kind(alone))


_one_at_a_time()
