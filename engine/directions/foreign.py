"""Directions as other programs write them: GGUF control vectors, and torch files of numbers.

A GGUF control vector is repeng's (Vogel 2024) and llama.cpp's: the architecture `controlvector`,
`controlvector.model_hint`, `controlvector.layer_count`, and a tensor `direction.N` for what is
added to the output of block N. Of torch's files, which are pickles, only what
`torch.load(weights_only=True)` takes is read: numbers by layer. A pickled SteeringVector of
steering-vectors is code, and is refused; `torch.save(vars(vector), path)` writes one that is read.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import ModelError
from ..experiment.sites import MLP, Stream
from ..model.gguf import read_header
from ..saved.vectors import MOST_BYTES

_ARCHITECTURE = "controlvector"
_TYPES = ("F16", "F32", "F64")


class NotReadError(ValueError):
    """Why a file is not read: the rest of a sentence."""


@dataclass(frozen=True)
class Read:
    """A direction read of a file: its name, site and model, empty where the file does not say."""

    name: str
    site: str
    model: str
    values: Any


def read_gguf(content: bytes) -> list[Read]:
    """The directions of a GGUF control vector. Raises: NotReadError for what is none."""
    from gguf.gguf_reader import GGUFReader

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.gguf"
        path.write_bytes(content)
        try:
            header = read_header(path)
        except ModelError as wrong:
            raise NotReadError(f"it is a damaged GGUF file ({str(wrong)[:200]})") from wrong
        if header.architecture != _ARCHITECTURE:
            raise NotReadError(
                f"it is a GGUF file of “{header.architecture[:40]}”, not a {_ARCHITECTURE}"
            )
        odd = sorted(set(header.stored.counts) - set(_TYPES))
        if odd:
            raise NotReadError(f"its numbers are {', '.join(odd)}, where F16 and F32 are read")
        try:
            tensors = [(str(t.name), np.array(t.data)) for t in GGUFReader(path).tensors]
        except Exception as wrong:  # whatever its reader makes of damage
            raise NotReadError(f"it is a damaged GGUF file ({str(wrong)[:120]})") from wrong
    result = []
    for name, values in tensors:
        head, _, layer = name.partition(".")
        if head != "direction" or not layer.isdecimal() or len(layer) > 5:
            raise NotReadError(f"it has a tensor “{name[:40]}”, where direction.1 and so on are")
        result.append((int(layer), values))
    return [Read("", str(Stream(layer + 1)), "", values) for layer, values in sorted(
        result, key=lambda one: one[0])]  # fmt: skip


def write_gguf(by_layer: Mapping[int, np.ndarray], model: str) -> bytes:
    """Numbers by block as repeng writes them, the model's name as the hint."""
    from gguf import GGUFWriter

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.gguf"
        writer = GGUFWriter(path, _ARCHITECTURE)
        writer.add_string(f"{_ARCHITECTURE}.model_hint", model)
        writer.add_uint32(f"{_ARCHITECTURE}.layer_count", len(by_layer))
        for layer, values in sorted(by_layer.items()):
            writer.add_tensor(f"direction.{layer}", values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def read_torch(content: bytes) -> list[Read]:
    """The directions of a torch file of numbers. Raises: NotReadError for anything else."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            if sum(part.file_size for part in parts.infolist()) > MOST_BYTES:
                raise NotReadError(f"unpacked it has more than {MOST_BYTES / 2**20:.0f} MiB")
        given = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except NotReadError:
        raise
    except Exception as wrong:  # whatever its reader makes of damage, or of code
        raise NotReadError(
            "it is a torch file with more than numbers in it, or a damaged one, and code is never "
            "run; torch.save(vars(vector), path) writes the numbers alone"
        ) from wrong
    kind = "decoder_block"
    if isinstance(given, Mapping) and "layer_activations" in given:
        kind, given = str(given.get("layer_type", kind)), given["layer_activations"]
    if kind not in ("decoder_block", "mlp"):
        raise NotReadError(
            f"its vectors are of “{kind[:40]}”, which is no place of the stream: those of "
            "decoder_block and mlp are read"
        )
    if isinstance(given, torch.Tensor):
        return [Read("", "", "", _numbers(given))]
    layers = list(given) if isinstance(given, Mapping) else []
    if not layers or not all(type(layer) is int and 0 <= layer < 100_000 for layer in layers):
        raise NotReadError("it holds no vectors by layer")
    return [
        Read(
            "", str(MLP(layer) if kind == "mlp" else Stream(layer + 1)), "", _numbers(given[layer])
        )
        for layer in sorted(layers)
    ]


def _numbers(given: Any) -> np.ndarray:
    if not isinstance(given, torch.Tensor) or not given.is_floating_point():
        raise NotReadError(f"it holds {type(given).__name__}, where vectors of real numbers are")
    if given.is_sparse or given.layout is not torch.strided or given.device.type != "cpu":
        raise NotReadError("its vectors are not plain numbers")
    return given.detach().float().numpy()


def write_torch(by_layer: Mapping[int, np.ndarray], kind: str) -> bytes:
    """Numbers by block as `steering_vectors.SteeringVector(**torch.load(path))` takes them."""
    out = io.BytesIO()
    tensors = {layer: torch.from_numpy(values.copy()) for layer, values in sorted(by_layer.items())}
    torch.save({"layer_activations": tensors, "layer_type": kind}, out)
    return out.getvalue()
