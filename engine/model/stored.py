"""What a checkpoint's safetensors hold, from their headers alone; no weight is read."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..text.stand_ins import check_file

WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
_MOST_JSON = 2**24
"""Bytes of the largest JSON file read; published configs have some thousands."""
_BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8,
    "U64": 64, "U32": 32, "U16": 16, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
}  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """What lies in a model's files. `counts`: how many numbers of each dtype (`F32`, `Q4_1`);
    `n_tensors` of them; `n_bytes` they take on the disk."""

    counts: dict[str, int]
    n_tensors: int
    n_bytes: int

    @property
    def n_numbers(self) -> int:
        """How many numbers are stored."""
        return sum(self.counts.values())

    @property
    def most(self) -> str:
        """The dtype of most of them."""
        return max(self.counts, key=lambda dtype: self.counts[dtype])


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises: ModelError where there is none, or one beyond reason."""
    check_file(path)
    try:
        if path.stat().st_size > _MOST_JSON:
            raise ModelError(
                f"“{path}” has {path.stat().st_size:,} bytes; a model's JSON has at most "
                f"{_MOST_JSON:,}."
            )
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as wrong:
        raise ModelError(f"“{path}” cannot be read as JSON ({type(wrong).__name__}).") from wrong
    if not isinstance(result, dict):
        raise ModelError(f"“{path}” holds no JSON object.")
    return result


def weight_files(name: str, directory: Path, files: Collection[str]) -> list[str]:
    """Which of the files transformers reads weights from: the one, or those its index names.

    Raises: ModelError where there are none, naming a pickle that stands in their place.
    """
    if WHOLE in files:
        return [WHOLE]
    if INDEX in files:
        return _indexed(directory)
    pickles = sorted(f for f in files if f.endswith((".bin", ".pt", ".pth")))
    if pickles:
        raise ModelError(
            f"“{name}” stores its weights as a pickle ({pickles[0]}), which can run any code "
            "when opened. Save it again as safetensors: "
            "model.save_pretrained(directory, safe_serialization=True)."
        )
    others = sorted(f for f in files if f.endswith(".safetensors"))
    if ADAPTER in others:
        raise ModelError(adapter(name, directory))
    there = f" There is {', '.join(others[:3])[:200]}." if others else ""
    raise ModelError(
        f"“{name}” has a config.json but no *.safetensors with its weights: neither {WHOLE} nor "
        f"parts of it with a {INDEX}.{there}"
    )


def adapter(name: str, directory: Path) -> str:
    """A sentence for a directory that holds a LoRA adapter and no model."""
    base = "its base model"
    with contextlib.suppress(ModelError):
        base = str(read_json(directory / ADAPTER_CONFIG).get("base_model_name_or_path") or base)
    return (
        f"“{name}” is a LoRA adapter, a change of {base[:200]}, and no model by itself. Merge the "
        "two and give what comes out: PeftModel.from_pretrained(base, adapter)"
        ".merge_and_unload().save_pretrained(directory)."
    )


def _indexed(directory: Path) -> list[str]:
    named = read_json(directory / INDEX).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise ModelError(f"“{INDEX}” names no weights.")
    files = sorted({str(file) for file in named.values()})
    for file in files:
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise ModelError(
                f"“{INDEX}” names “{file[:100]}”, which is no *.safetensors beside it."
            )
    return files


def stored_in(name: str, files: Sequence[Path]) -> Stored:
    """What safetensors files hold. Raises: ModelError for one that is damaged, empty or missing."""
    for file in files:
        check_file(file)
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ModelError(
            f"“{name}” lacks {len(missing)} of the {len(files)} files of weights that its {INDEX} "
            f"names, such as {missing[0][:100]}. Fetch or copy them beside the others."
        )
    counts: dict[str, int] = {}
    n_tensors = n_bytes = 0
    for file in files:
        for dtype, count in _tensors(name, file):
            counts[dtype] = counts.get(dtype, 0) + count
            n_tensors += 1
        n_bytes += file.stat().st_size
    if not sum(counts.values()):
        raise ModelError(f"The safetensors of “{name}” hold no weights.")
    return Stored(counts, n_tensors, n_bytes)


def _tensors(name: str, path: Path) -> list[tuple[str, int]]:
    """(dtype, number of elements) of each tensor, each seen to have its place in the file."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            (length,) = struct.unpack("<Q", file.read(8))
            if length > 100_000_000:
                raise ValueError("header too long")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        result, taken = [], 0
        for tensor in header.values():
            dtype, count = str(tensor["dtype"]), _product(tensor["shape"])
            begin, end = map(int, tensor["data_offsets"])
            if not 0 <= begin <= end or count * _BITS.get(dtype, 0) > 8 * (end - begin):
                raise ValueError("a tensor larger than its place")
            taken += end - begin
            result.append((dtype, count))
    except (
        OSError, ValueError, struct.error, KeyError, TypeError, AttributeError, ArithmeticError,
        RecursionError,
    ) as wrong:  # fmt: skip
        raise ModelError(f"“{path.name}” is damaged or no safetensors file.") from wrong
    if taken > size - 8 - length:
        raise ModelError(
            f"“{name}” cannot be loaded: “{path.name}” is cut short. Its tensors take {taken:,} "
            f"bytes and it has {max(0, size - 8 - length):,} of them. Copy or save it again."
        )
    return result


def _product(shape: list[int]) -> int:
    n = 1
    for size in shape:
        if not 0 <= int(size) < 2**48:
            raise ValueError(f"a size of {size}")
        n *= int(size)
    return n
