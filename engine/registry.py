"""The loaded models: found by name, made room for, vouched for, kept, released."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .errors import ModelError
from .experiment.experiment import Experiment, check_experiment
from .model import budget
from .model.budget import device_of, dtype_of
from .model.checkpoints import Checkpoint, find_checkpoint, find_place
from .model.fingerprint import Fingerprint, fingerprint, still
from .model.loading import Load, Loading, loaded_already, reading
from .model.model import Model
from .model.opening import open_model
from .trials.trial import certify

_Wish = tuple[str, str | None, str | None]
"""What a load is asked for: where a model lies, or its name, and the device and dtype wanted."""


def load(name: str, device: str | None = None, dtype: str | None = None) -> Model:
    """The model of that name, loaded once and kept.

    `device`: "cuda", "mps" or "cpu"; by itself the first of these there is. `dtype`: "float32",
    "float16" or "bfloat16"; by itself float32 on a CPU, the checkpoint's own elsewhere. The
    environment's SWITCHBOARD_DEVICE and SWITCHBOARD_DTYPE set both. A model is one by whatever
    name it is called, and one whose files were saved anew is loaded anew.
    Raises: ModelError in words, with what would help.
    """
    model = _registry.find(as_name(name), device, dtype)
    if model is not None:
        return model
    begun = loading(name, device, dtype)
    try:
        return begun.result()
    except BaseException:
        begun.cancel()
        raise


def loading(
    name: str,
    device: str | None = None,
    dtype: str | None = None,
    wanted: Callable[[], bool] = lambda: True,
) -> Loading[Model]:
    """Begin to load a model, as `load` does, and go on: it tells its progress and may be called
    off. Those who ask for the same model share a load, which ends early when none of them wants it
    any more: each has called it off, or is no longer `wanted`.
    """
    return _registry.loading(as_name(name), device, dtype, wanted)


def model_of(e: Experiment) -> Model:
    """The model of an experiment. Raises: EngineError for what is none, and as `load` does."""
    check_experiment(e)
    return load(e.model)


def as_name(name: Any) -> str:
    """A model's name as a text; a path is one. Raises: ModelError for what is none."""
    if not isinstance(name, str | os.PathLike):
        raise ModelError(f"A model is named by a text, not by {name!r:.60}.")
    return os.fspath(name).strip()


def loaded(name: str) -> Model | None:
    """The model of that name if it is loaded now; nothing is loaded for the question."""
    return _registry.find(as_name(name), None, None)


def loaded_models() -> dict[Path, Model]:
    """The loaded models by where they lie, the least recently used first."""
    return _registry.held()


def release(name: str) -> None:
    """Let go of a loaded model and its memory; nothing happens if it is not loaded."""
    _registry.release(name.strip())


@dataclass
class _Kept:
    model: Model
    files: Fingerprint


class _Registry:
    """The loaded models by where they lie: each loaded once, the least recently used released for
    room.

    Any number of them are loaded at once, each on its own thread; no lock is held while a model
    is fetched or read. Room is promised to a load before it begins.
    """

    def __init__(self) -> None:
        self._models: OrderedDict[Path, _Kept] = OrderedDict()
        self._called: dict[str, Path] = {}
        self._loads: dict[_Wish, Load[Model]] = {}
        self._busy: set[Path] = set()
        self._promised: dict[Path, tuple[torch.device, float]] = {}
        self._changed = threading.Condition()

    def held(self) -> dict[Path, Model]:
        """The loaded models by where they lie, the least recently used first."""
        with self._changed:
            return {place: kept.model for place, kept in self._models.items()}

    def find(self, name: str, device: str | None, dtype: str | None) -> Model | None:
        """A loaded model by any of its names, if it is what is asked for and its files are."""
        place = self._place_of(name)
        return self._find_at(place, device, dtype) if place is not None else None

    def loading(
        self, name: str, device: str | None, dtype: str | None, wanted: Callable[[], bool]
    ) -> Loading[Model]:
        """A load of a model: the one under way, a new one, or one that is over already."""
        model = self.find(name, device, dtype)
        if model is not None:
            return loaded_already(name, model)
        return self._ask(name, device, dtype, wanted)

    def release(self, name: str) -> None:
        """Let go of a model by any of its names."""
        with self._changed:
            places = [self._called.get(name), *(p for p, k in self._models.items() if
                      k.model.name == name)]  # fmt: skip
        self._release_at({place for place in (self._place_of(name), *places) if place is not None})

    def _place_of(self, name: str) -> Path | None:
        """Where a model lies, if that is known without asking anybody; never a complaint."""
        try:
            place = find_place(name) if name else None
        except ModelError:
            return None
        return place.resolve() if place is not None else self._called.get(name)

    def _find_at(self, place: Path, device: str | None, dtype: str | None) -> Model | None:
        with self._changed:
            kept = self._models.get(place)
            files = still(kept.files) if kept is not None else None
            if kept is None or files is None or not budget.suits(kept.model, device, dtype):
                return None
            kept.files = files
            self._models.move_to_end(place)
            return kept.model

    def _ask(
        self, name: str, device: str | None, dtype: str | None, wanted: Callable[[], bool]
    ) -> Loading[Model]:
        """Take part in the load of that wish that is under way, or begin one."""
        wish = (str(self._place_of(name) or name), device, dtype)
        with self._changed:
            under_way = self._loads.get(wish)
            joined = under_way.ask(wanted) if under_way is not None else None
            if joined is not None:
                return joined

            def work(load: Load[Model]) -> Model:
                try:
                    return self._load(load, name, device, dtype)
                finally:
                    with self._changed:
                        if self._loads.get(wish) is load:
                            del self._loads[wish]

            begun: Load[Model] = Load(name, work)
            joined = begun.ask(wanted)
            assert joined is not None
            self._loads[wish] = begun
            begun.begin()
            return joined

    def _load(self, load: Load[Model], name: str, device: str | None, dtype: str | None) -> Model:
        """Find, fetch, read and check a model, on the load's own thread."""
        where = device_of(device)
        known, files = self._place_of(name), None
        with contextlib.suppress(OSError):  # what is gone is told by who looks for it
            files = fingerprint(known) if known is not None else None
        checkpoint = find_checkpoint(
            name,
            lambda result: self._check_size(result, where, dtype_of(dtype, result, where)),
            load.tell,
        )
        place = checkpoint.place
        with self._alone(load, place):
            model = self._find_at(place, device, dtype)
            if model is None:
                if files is None or files.place != place:
                    files = fingerprint(place)
                self._release_at([place])
                model = self._read(load, checkpoint, where, dtype_of(dtype, checkpoint, where))
                with self._changed:
                    self._models[place] = _Kept(model, files)
            with self._changed:
                self._called[name] = place
        return model

    def _read(
        self, load: Load[Model], checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype
    ) -> Model:
        with self._room(load, checkpoint, device, dtype):
            model = open_model(
                checkpoint, device, dtype, reading(load, checkpoint.stored.n_tensors)
            )
            try:
                load.tell(0.9, "Trying it")
                model.worker.run(lambda: certify(model, load.going_on))
            except BaseException:
                model.release()
                raise
            return model

    def _release_at(self, places: Collection[Path]) -> None:
        """Let go of what lies there; garbage, which takes a while, is searched for where something
        still holds a part of it."""
        with self._changed:
            kept = [self._models.pop(place) for place in places if place in self._models]
            self._called = {n: p for n, p in self._called.items() if p in self._models}
        if kept:
            free = True
            while kept:
                free &= kept.pop().model.release()
            if not free:
                gc.unfreeze()
                gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    @contextlib.contextmanager
    def _alone(self, load: Load[Model], place: Path) -> Iterator[None]:
        """Be the only load of what lies there; others of the same wait, and may be called off."""
        with self._changed:
            while place in self._busy:
                load.going_on()
                self._changed.wait(0.05)
            self._busy.add(place)
        try:
            yield
        finally:
            with self._changed:
                self._busy.discard(place)
                self._changed.notify_all()

    @contextlib.contextmanager
    def _room(
        self, load: Load[Model], checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype
    ) -> Iterator[None]:
        """Have room for a model, promised to it until it is read."""
        load.tell(0.0, "Making room")
        self._check_size(checkpoint, device, dtype)  # else releasing others would not help
        needed = checkpoint.bytes_in(dtype.itemsize) * budget.ROOM
        while lacking := self._promise(checkpoint.place, device, needed):
            load.going_on()
            with self._changed:
                held = {place: kept.model for place, kept in self._models.items()}
                places = budget.first_with(held, device, lacking)
                if not places and self._promised:
                    self._changed.wait(0.05)  # others are being read; theirs may be released later
                    continue
            if not places:
                self._check_size(checkpoint, device, dtype)
                raise budget.too_large(checkpoint, device, dtype, budget.free_bytes(device))
            self._release_at(places)
        try:
            yield
        finally:
            with self._changed:
                del self._promised[checkpoint.place]
                self._changed.notify_all()

    def _promise(self, place: Path, device: torch.device, needed: float) -> float:
        """Promise a load room, if there is so much beyond what others were promised. Returns: the
        bytes that are lacking, 0 where it is promised."""
        with self._changed:
            promised = sum(n for at, n in self._promised.values() if at == device)
            lacking = max(0.0, needed - (budget.free_bytes(device) - promised))
            if not lacking:
                self._promised[place] = (device, needed)
            return lacking

    def _check_size(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        """Raises: ModelError where the model would not fit if every other were released."""
        held = sum(m.nbytes for m in self.held().values() if m.device == device)
        budget.check_size(checkpoint, device, dtype, held)


_registry = _Registry()
