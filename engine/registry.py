"""The loaded models: found by name, made room for, vouched for, kept, released."""

from __future__ import annotations

import gc
import os
import threading
from collections import OrderedDict, defaultdict

import psutil
import torch

from .errors import EngineError, ModelError
from .experiment.results import ModelInfo
from .model.model import Model
from .model.opening import open_model
from .model.checkpoints import Checkpoint, bundled_names, find_checkpoint
from .passes import forward
from .passes.hooks import Edit

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_STORED = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_ROOM = 1.2
"""Free memory wanted for a model, as a multiple of its weights."""


def models() -> tuple[ModelInfo, ...]:
    """What can be picked without a network: the bundled models, and those loaded now."""
    loaded = _registry.loaded()
    names = [*bundled_names(), *(n for n in loaded if n not in bundled_names())]
    return tuple(loaded[n].info if n in loaded else _info(find_checkpoint(n)) for n in names)


def load(name: str, device: str | None = None, dtype: str | None = None) -> Model:
    """The model of that name, loaded once and kept.

    `device`: "cuda", "mps" or "cpu"; by itself the first of these there is. `dtype`: "float32",
    "float16" or "bfloat16"; by itself float32 on a CPU, the checkpoint's own elsewhere. The
    environment's SWITCHBOARD_DEVICE and SWITCHBOARD_DTYPE set both.
    Raises: ModelError in words, with what would help.
    """
    return _registry.load(name.strip(), device, dtype)


def loaded(name: str) -> Model | None:
    """The model of that name if it is loaded now; nothing is loaded for the question."""
    return _registry.loaded().get(name.strip())


def release(name: str) -> None:
    """Let go of a loaded model and its memory; nothing happens if it is not loaded."""
    _registry.release(name.strip())


class _Registry:
    """The loaded models: each loaded once, the least recently used released for room.

    Those that are loaded can be had while another is being fetched and read.
    """

    def __init__(self) -> None:
        self._models: OrderedDict[str, Model] = OrderedDict()
        self._lock = threading.Lock()
        self._fetching: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._reading = threading.Lock()

    def loaded(self) -> dict[str, Model]:
        with self._lock:
            return dict(self._models)

    def load(self, name: str, device: str | None, dtype: str | None) -> Model:
        model = self._find(name, device, dtype)
        if model is not None:
            return model
        with self._lock:
            fetching = self._fetching[name]
        with fetching:
            model = self._find(name, device, dtype)
            if model is not None:
                return model
            where = _device(device)
            checkpoint = find_checkpoint(
                name, lambda found: self._check_size(found, where, _dtype(dtype, found, where))
            )
            kind = _dtype(dtype, checkpoint, where)
            with self._reading:
                self.release(name)
                self._make_room(checkpoint, where, kind)
                model = open_model(checkpoint, where, kind)
                try:
                    _vouch(model)
                except BaseException:
                    model.release()
                    raise
            with self._lock:
                self._models[name] = model
        gc.collect()
        gc.freeze()  # what a loaded model keeps alive need not be searched for garbage again
        return model

    def release(self, name: str) -> None:
        with self._lock:
            model = self._models.pop(name, None)
        if model is not None:
            model.release()
            del model
            gc.unfreeze()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _find(self, name: str, device: str | None, dtype: str | None) -> Model | None:
        with self._lock:
            model = self._models.get(name)
            if model is None or not _suits(model, device, dtype):
                return None
            self._models.move_to_end(name)
            return model

    def _check_size(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        """Raises: ModelError where the model would not fit if every other were released."""
        needed = checkpoint.n_parameters * dtype.itemsize
        held = sum(m.nbytes for m in self.loaded().values() if m.device == device)
        free = _free_bytes(device) + held
        if free < needed * _ROOM:
            raise ModelError(
                f"“{checkpoint.name}” needs {needed / 2**30:.1f} GiB for its weights in "
                f"{str(dtype).removeprefix('torch.')}, and some room beside them; "
                f"{free / 2**30:.1f} GiB are free on {device}."
                + (" Loading it in bfloat16 halves that." if dtype == torch.float32 else "")
            )

    def _make_room(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        self._check_size(checkpoint, device, dtype)  # else releasing others would not help
        needed = checkpoint.n_parameters * dtype.itemsize
        others = [n for n, m in self.loaded().items() if m.device == device]
        while others and _free_bytes(device) < needed * _ROOM:
            self.release(others.pop(0))
        self._check_size(checkpoint, device, dtype)


def _suits(model: Model, device: str | None, dtype: str | None) -> bool:
    """Whether a loaded model is where and what is asked for, if anything is."""
    return (device is None or _device(device) == model.device) and (
        dtype is None or _DTYPES.get(dtype) == model.dtype
    )


_registry = _Registry()


def _vouch(model: Model) -> None:
    """Refuse an architecture in which rows that share a pass would change each other's numbers.

    Two texts join the batch at the first layer and at a later one, with a change that changes
    nothing; each must come out as it does alone. It does not where blocks take more from the text
    than the residual stream (Gemma 4's embeddings of each layer, ALiBi made for one row).
    """
    s = model.shape
    n = min(3, s.n_ctx or 3)
    texts = [tuple((a + b * i) % s.d_vocab for i in range(n)) for a, b in ((1, 1), (2, 5))]
    layers = [i for i in range(s.n_layers) if model.reaches("z", i)]
    rows = [
        forward.Row(
            ids, (Edit("z", layer, (0,), tuple(range(n)), 1.0, scales=True),), tuple(range(n))
        )
        for layer in (layers[0], layers[len(layers) // 2])
        for ids in texts
    ]

    def together() -> bool:
        alone = [model(torch.tensor([ids], device=model.device))[0].float() for ids in texts] * 2
        most = 1e-3 if model.dtype == torch.float32 else 0.1
        return all(
            float((result.logits - one).norm()) <= most * float(one.norm()) + 1e-6
            for result, one in zip(forward.run(model, rows), alone, strict=True)
        )

    try:
        fits, why = model.worker.run(together), "the numbers of one change the other's"
    except EngineError:
        raise
    except Exception as wrong:
        fits, why = False, f"{type(wrong).__name__}: {str(wrong).strip()[:160]}"
    finally:
        model.store.clear()
    if not fits:
        raise ModelError(
            f"{model.checkpoint.architecture} cannot run several prompts in one pass as this tool "
            f"does ({why}), so it is not shown rather than shown wrongly."
        )


def _info(checkpoint: Checkpoint) -> ModelInfo:
    """What a picker shows of a model that is not loaded."""
    dtype = _dtype(None, checkpoint, _device(None))
    return ModelInfo(
        name=checkpoint.name,
        about=checkpoint.about,
        architecture=checkpoint.architecture,
        bytes_needed=checkpoint.n_parameters * dtype.itemsize,
        shape=None,
        loaded=False,
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
