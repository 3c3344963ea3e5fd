"""The loaded models: found by name, made room for, vouched for, kept, released."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch

from .errors import EngineError, ModelError
from .experiment.experiment import Experiment
from .experiment.results import ModelInfo
from .model import catalogue
from .model.checkpoints import (
    BUNDLED,
    Checkpoint,
    bundled_names,
    find_checkpoint,
    find_place,
)
from .model.fingerprint import Fingerprint, fingerprint, still
from .model.loading import Load, Loading, loaded_already
from .model.model import Model
from .model.opening import open_model
from .trials.results import Certificate
from .trials.trial import certify

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_STORED = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_ROOM = 1.2
"""Free memory wanted for a model, as a multiple of its weights."""
_Wish = tuple[str, str | None, str | None]
"""What a load is asked for: where a model lies, or its name, and the device and dtype wanted."""


def models() -> tuple[ModelInfo, ...]:
    """What can be picked by name: the bundled models, the catalogue's, and those loaded now.

    Nothing is fetched or loaded for it; `here` says what needs no network.
    """
    held = _registry.held()
    infos = [_bundled(name, held) for name in bundled_names()]
    infos += [_listed(e, held) for e in catalogue.CATALOGUE]
    shown = {info.name for info in infos}
    return (*infos, *(m.info for m in held.values() if m.name not in shown))


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
    asked = loading(name, device, dtype)
    try:
        return asked.result()
    except BaseException:
        asked.cancel()
        raise


def loading(
    name: str,
    device: str | None = None,
    dtype: str | None = None,
    view: Hashable | None = None,
) -> Loading[Model]:
    """Begin to load a model, as `load` does, and go on: it tells its progress and may be called
    off. Those who ask for the same model share a load, which ends early when all called it off.

    `view`: who asks; what it asked for before and is not loaded yet is called off.
    """
    return _registry.loading(as_name(name), device, dtype, view)


def model_of(e: Any) -> Model:
    """The model of an experiment. Raises: EngineError for what is no experiment, and as `load`."""
    if not isinstance(e, Experiment):
        raise EngineError(f"An Experiment is asked about, not {e!r:.60}.")
    return load(e.model)


def as_name(name: Any) -> str:
    """A model's name as a text; a path is one. Raises: ModelError for what is none."""
    if not isinstance(name, str | os.PathLike):
        raise ModelError(f"A model is named by a text, not by {name!r:.60}.")
    return os.fspath(name).strip()


def loaded(name: str) -> Model | None:
    """The model of that name if it is loaded now; nothing is loaded for the question."""
    return _registry.find(as_name(name), None, None)


def certificate(name: str) -> Certificate:
    """What a model was seen to do when it was loaded: every kind of place changed and compared
    with a plain hook, with the figures, and what is refused in it. It is loaded if it is not yet.

    Raises: ModelError in words, as `load` does.
    """
    found: Certificate = load(name).certificate
    return found


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
        self._views: dict[Hashable, Loading[Model]] = {}
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
        self, name: str, device: str | None, dtype: str | None, view: Hashable | None
    ) -> Loading[Model]:
        """A load of a model: the one under way, a new one, or one that is over already."""
        model = self.find(name, device, dtype)
        asked = loaded_already(name, model) if model else self._ask(name, device, dtype)
        with self._changed:
            over = [one for one, its in self._views.items() if its.done]
            older = self._views.get(view) if view is not None else None
            for one in over:
                del self._views[one]
            if view is not None and not asked.done:
                self._views[view] = asked
            elif view is not None:
                self._views.pop(view, None)
        if older is not None:
            older.cancel()
        return asked

    def release(self, name: str) -> None:
        """Let go of a model by any of its names."""
        with self._changed:
            places = [self._called.get(name), *(p for p, k in self._models.items() if
                      k.model.name == name)]  # fmt: skip
        for place in {self._place_of(name), *places}:
            if place is not None:
                self._release_at(place)

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
            if kept is None or files is None or not _suits(kept.model, device, dtype):
                return None
            kept.files = files
            self._models.move_to_end(place)
            return kept.model

    def _ask(self, name: str, device: str | None, dtype: str | None) -> Loading[Model]:
        """Take part in the load of that wish that is under way, or begin one."""
        wish = (str(self._place_of(name) or name), device, dtype)
        with self._changed:
            under_way = self._loads.get(wish)
            asked = under_way.ask() if under_way is not None else None
            if asked is not None:
                return asked

            def work(load: Load[Model]) -> Model:
                try:
                    return self._load(load, name, device, dtype)
                finally:
                    with self._changed:
                        if self._loads.get(wish) is load:
                            del self._loads[wish]

            begun: Load[Model] = Load(name, work)
            asked = begun.ask()
            assert asked is not None
            self._loads[wish] = begun
            begun.begin()
            return asked

    def _load(self, load: Load[Model], name: str, device: str | None, dtype: str | None) -> Model:
        """Find, fetch, read and check a model, on the load's own thread."""
        where = _device(device)
        known = self._place_of(name)
        files = None
        with contextlib.suppress(OSError):  # what is gone is told by who looks for it
            files = fingerprint(known) if known is not None else None
        checkpoint = find_checkpoint(
            name,
            lambda found: self._check_size(found, where, _dtype(dtype, found, where)),
            load.tell,
        )
        place = checkpoint.place
        with self._alone(load, place):
            model = self._find_at(place, device, dtype)
            if model is None:
                if files is None or files.place != place:
                    files = fingerprint(place)
                self._release_at(place)
                model = self._read(load, checkpoint, where, _dtype(dtype, checkpoint, where))
                with self._changed:
                    self._models[place] = _Kept(model, files)
            with self._changed:
                self._called[name] = place
        return model

    def _read(
        self, load: Load[Model], checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype
    ) -> Model:
        with self._room(load, checkpoint, device, dtype):
            model = open_model(checkpoint, device, dtype, _step(load, checkpoint))
            try:
                load.tell(0.9, "Trying it")
                model.worker.run(lambda: certify(model, load.going_on))
            except BaseException:
                model.release()
                raise
            return model

    def _release_at(self, place: Path) -> None:
        with self._changed:
            kept = self._models.pop(place, None)
            self._called = {n: p for n, p in self._called.items() if p in self._models}
        if kept is not None:
            kept.model.release()
            del kept
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
        needed = checkpoint.bytes_in(dtype.itemsize) * _ROOM
        while not self._promise(checkpoint.place, device, needed):
            load.going_on()
            with self._changed:
                place = next((p for p, k in self._models.items() if k.model.device == device), None)
                if place is None and self._promised:
                    self._changed.wait(0.05)  # others are being read; theirs may be released later
                    continue
            if place is None:
                self._check_size(checkpoint, device, dtype)
                raise _too_large(checkpoint, device, dtype, _free_bytes(device))
            self._release_at(place)
        try:
            yield
        finally:
            with self._changed:
                del self._promised[checkpoint.place]
                self._changed.notify_all()

    def _promise(self, place: Path, device: torch.device, needed: float) -> bool:
        """Promise a load room, if there is so much beyond what others were promised."""
        with self._changed:
            promised = sum(n for at, n in self._promised.values() if at == device)
            if _free_bytes(device) - promised < needed:
                return False
            self._promised[place] = (device, needed)
            return True

    def _check_size(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        """Raises: ModelError where the model would not fit if every other were released."""
        held = sum(m.nbytes for m in self.held().values() if m.device == device)
        free = _free_bytes(device) + held
        if free < checkpoint.bytes_in(dtype.itemsize) * _ROOM:
            raise _too_large(checkpoint, device, dtype, free)


def _too_large(
    checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, free: float
) -> ModelError:
    needed = checkpoint.bytes_in(dtype.itemsize)
    how = f" once {checkpoint.quantization} is dequantized" if checkpoint.gguf else ""
    return ModelError(
        f"“{checkpoint.name}” needs {needed / 2**30:.1f} GiB for its weights in "
        f"{str(dtype).removeprefix('torch.')}{how}, and some room beside them; "
        f"{free / 2**30:.1f} GiB are free on {device}."
        + (" Loading it in bfloat16 halves that." if dtype == torch.float32 else "")
    )


def _step(load: Load[Model], checkpoint: Checkpoint) -> Callable[[], None]:
    """What to call at every part and weight of a model being read: it tells how far that is."""
    steps = itertools.count()
    most = 6 * checkpoint.stored.n_tensors + 10  # a part, a weight made, a weight read, and such

    def step() -> None:
        load.tell(min(0.9, next(steps) / most), "Reading the weights")

    return step


def _suits(model: Model, device: str | None, dtype: str | None) -> bool:
    """Whether a loaded model is where and what is asked for, if anything is."""
    return (device is None or _device(device) == model.device) and (
        dtype is None or _DTYPES.get(dtype) == model.dtype
    )


_registry = _Registry()


def _bundled(name: str, held: dict[Path, Model]) -> ModelInfo:
    """What a picker shows of a bundled model, loaded or not."""
    model = held.get((BUNDLED / name).resolve())
    if model is not None:
        return replace(model.info, name=name)
    checkpoint = find_checkpoint(name)
    dtype = _dtype(None, checkpoint, _device(None))
    return ModelInfo(
        name=name,
        about=checkpoint.about,
        architecture=checkpoint.architecture,
        bytes_needed=checkpoint.bytes_in(dtype.itemsize),
        shape=None,
        loaded=False,
    )


def _listed(e: catalogue.Entry, held: dict[Path, Model]) -> ModelInfo:
    """What a picker shows of a model of the catalogue, loaded or not, on this machine or not."""
    place = catalogue.fetched(e)
    model = held.get(place.resolve()) if place is not None else None
    model = model or next((m for m in held.values() if m.name == e.name), None)
    if model is not None:
        return replace(model.info, name=e.name, about=e.about)
    width = 4 if _device(None).type == "cpu" else 2
    return ModelInfo(
        name=e.name,
        about=e.about,
        architecture=e.architecture,
        bytes_needed=e.n_parameters * width,
        shape=None,
        loaded=False,
        here=place is not None or catalogue.on_this_machine(e),
    )


def _device(asked: str | None) -> torch.device:
    asked = asked or os.environ.get("SWITCHBOARD_DEVICE")
    if asked is None:
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(asked)
        torch.empty(0, device=device)
        return torch.empty(0, device=device).device
    except Exception as wrong:
        raise ModelError(
            f"There is no device “{asked}” on this machine; leave it out to have one chosen."
        ) from wrong


def _dtype(asked: str | None, checkpoint: Checkpoint, device: torch.device) -> torch.dtype:
    asked = asked or os.environ.get("SWITCHBOARD_DTYPE")
    if asked is not None:
        if asked not in _DTYPES:
            raise ModelError(f"“{asked}” is no dtype for a model; there are {', '.join(_DTYPES)}.")
        return _DTYPES[asked]
    if device.type == "cpu":
        return torch.float32
    return _STORED.get(checkpoint.stored_dtype, torch.float32)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
