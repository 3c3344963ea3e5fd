"""Where a model goes and how wide its numbers are, and whether there is memory for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import psutil
import torch

from ..errors import ModelError
from .checkpoints import Checkpoint
from .model import Model

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_STORED = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
ROOM = 1.2
"""Free memory wanted for a model, as a multiple of its weights."""


def device_of(wanted: str | None) -> torch.device:
    """The device asked for, else SWITCHBOARD_DEVICE's, else a graphics card if there is one.

    Raises: ModelError for one that this machine lacks.
    """
    wanted = wanted or os.environ.get("SWITCHBOARD_DEVICE")
    if wanted is None:
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
        return torch.empty(0, device=device).device
    except Exception as wrong:
        raise ModelError(
            f"There is no device “{wanted}” on this machine; leave it out to have one chosen."
        ) from wrong


def dtype_of(wanted: str | None, checkpoint: Checkpoint, device: torch.device) -> torch.dtype:
    """The dtype asked for, else SWITCHBOARD_DTYPE's, else float32 on a processor and the
    checkpoint's own elsewhere. Raises: ModelError for a word that is none.
    """
    wanted = wanted or os.environ.get("SWITCHBOARD_DTYPE")
    if wanted is not None:
        if wanted not in DTYPES:
            raise ModelError(f"“{wanted}” is no dtype for a model; there are {', '.join(DTYPES)}.")
        return DTYPES[wanted]
    if device.type == "cpu":
        return torch.float32
    return _STORED.get(checkpoint.stored_dtype, torch.float32)


def free_bytes(device: torch.device) -> int:
    """Memory free on a device, in bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def suits(model: Model, device: str | None, dtype: str | None) -> bool:
    """Whether a loaded model is where and what is asked for, if anything is."""
    return (device is None or device_of(device) == model.device) and (
        dtype is None or DTYPES.get(dtype) == model.dtype
    )


def too_large(
    checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, free: float
) -> ModelError:
    """What to tell of a model for which `free` bytes do not suffice."""
    needed = checkpoint.bytes_in(dtype.itemsize)
    how = f" once {checkpoint.quantization} is dequantized" if checkpoint.gguf else ""
    return ModelError(
        f"“{checkpoint.name}” needs {needed / 2**30:.1f} GiB for its weights in "
        f"{str(dtype).removeprefix('torch.')}{how}, and some room beside them; "
        f"{free / 2**30:.1f} GiB are free on {device}."
        + (" Loading it in bfloat16 halves that." if dtype == torch.float32 else "")
    )


def check_size(
    checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, held: float
) -> None:
    """Raises: ModelError where a model would not fit in what is free and what others hold."""
    free = free_bytes(device) + held
    if free < checkpoint.bytes_in(dtype.itemsize) * ROOM:
        raise too_large(checkpoint, device, dtype, free)


def first_with(models: Mapping[Path, Model], device: torch.device, nbytes: float) -> list[Path]:
    """The first models of a device that hold so many bytes together, or all."""
    places: list[Path] = []
    for place, model in models.items():
        if model.device == device and nbytes > 0:
            places.append(place)
            nbytes -= model.nbytes
    return places
