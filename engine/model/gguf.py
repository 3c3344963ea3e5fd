"""A GGUF file looked at: what it is, how it is quantized, and that it holds what it names.

The header is read here, within the bounds of the file, before any other reader believes it; the
weights are dequantized by transformers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import ModelError
from ..text.stand_ins import check_file
from .stored import Stored

_MAGIC = b"GGUF"
_FIXED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_TEXT = 2**24
_MOST_KEYS = 2**16
_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4),
    27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17),
}  # fmt: skip
"""By ggml's number: the name of a type, how many numbers make a block, and its bytes."""


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself. Arrays among the `values` are given by their length."""

    values: dict[str, Any]
    stored: Stored

    @property
    def architecture(self) -> str:
        """The family by llama.cpp's name, as in `qwen2moe`."""
        return str(self.values["general.architecture"])

    @property
    def sizes(self) -> dict[str, int]:
        """The integers of its metadata that may size something, by the last word of their key."""
        return {
            key.removeprefix(f"{self.architecture}."): value
            for key, value in self.values.items()
            if key.startswith(f"{self.architecture}.") and type(value) is int
        }


def read_header(path: Path) -> Header:
    """Read a GGUF file's header, and see that each tensor it names lies within the file.

    Raises: ModelError for a file that is none, is damaged or cut short.
    """
    check_file(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _Reader(file, size, path.name).header()
    except (OSError, struct.error, ValueError, OverflowError, MemoryError) as wrong:
        raise ModelError(
            f"“{path.name}” is damaged or no GGUF file ({str(wrong).strip()[:100]}). Fetch it "
            "again."
        ) from wrong


class _Reader:
    """Reads a header front to back; whatever it claims to have, it must have."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self._file, self._size, self._name = file, size, name

    def header(self) -> Header:
        if self._file.read(4) != _MAGIC:
            raise ValueError("it does not begin with GGUF")
        version, n_tensors, n_keys = self._fixed("<IQQ")
        if version not in (2, 3):
            raise ValueError(f"version {version}, where 2 and 3 are read")
        if n_keys > _MOST_KEYS or n_tensors * 24 > self._size:
            raise ValueError(f"{n_tensors:,} tensors and {n_keys:,} keys in {self._size:,} bytes")
        values = dict(self._pair() for _ in range(n_keys))
        if not isinstance(values.get("general.architecture"), str):
            raise ValueError("it names no architecture")
        tensors = [self._tensor() for _ in range(n_tensors)]
        alignment = values.get("general.alignment", 32)
        if type(alignment) is not int or not 0 < alignment <= 2**20:
            raise ValueError(f"an alignment of {alignment}")
        data = -(-self._file.tell() // alignment) * alignment
        return Header(values, self._stored(tensors, data))

    def _stored(self, tensors: list[tuple[str, int, int]], data: int) -> Stored:
        counts: dict[str, int] = {}
        end = data
        for dtype, count, last in tensors:
            counts[dtype] = counts.get(dtype, 0) + count
            end = max(end, data + last)
        if not sum(counts.values()):
            raise ValueError("it holds no weights")
        if end > self._size:
            raise ModelError(
                f"“{self._name}” is cut short: its tensors end at byte {end:,} and it has "
                f"{self._size:,}. Fetch it again."
            )
        return Stored(counts, len(tensors), self._size)

    def _tensor(self) -> tuple[str, int, int]:
        """(type, how many numbers, where it ends counted from where the data begin)."""
        self._text()
        (n_axes,) = self._fixed("<I")
        if n_axes > 8:
            raise ValueError(f"a tensor of {n_axes} axes")
        count = prod(self._fixed(f"<{n_axes}Q"))
        kind, offset = self._fixed("<IQ")
        if kind not in _TYPES:
            raise ModelError(
                f"“{self._name}” holds tensors of a type (number {kind}) that is not read here. "
                "Take the same model in another quantization, such as Q8_0."
            )
        name, block, width = _TYPES[kind]
        if count % block:
            raise ValueError(f"{count:,} numbers in blocks of {block}")
        return name, count, offset + count // block * width

    def _pair(self) -> tuple[str, Any]:
        key = self._text()
        (kind,) = self._fixed("<I")
        return key, self._value(kind)

    def _value(self, kind: int) -> Any:
        if kind in _FIXED:
            return self._fixed(f"<{_FIXED[kind]}")[0]
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            raise ValueError(f"a value of type {kind}")
        of, length = self._fixed("<IQ")
        if of in _FIXED:
            self._skip(length * struct.calcsize(f"<{_FIXED[of]}"))
        elif of == _STRING:
            if length * 8 > self._size:
                raise ValueError(f"an array of {length:,} in {self._size:,} bytes")
            for _ in range(length):
                self._skip(self._fixed("<Q")[0])
        else:
            raise ValueError(f"an array of type {of}")
        return length

    def _text(self) -> str:
        (length,) = self._fixed("<Q")
        if length > min(self._size, _MOST_TEXT):
            raise ValueError(f"a text of {length:,} bytes")
        return self._file.read(length).decode("utf-8")

    def _fixed(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(form, self._file.read(struct.calcsize(form)))

    def _skip(self, n_bytes: int) -> None:
        if n_bytes > self._size - self._file.tell():
            raise ValueError(f"{n_bytes:,} bytes more than there are")
        self._file.seek(n_bytes, 1)


def family_of(name: str, header: Header) -> str:
    """The family in transformers' words. Raises: ModelError where transformers has no such."""
    from transformers.integrations.gguf import GGUF_CONFIG_ARCHS  # type: ignore[attr-defined]
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = header.architecture
    known = {*GGUF_CONFIG_ARCHS, *GGUF_SUPPORTED_ARCHITECTURES}
    family = _RENAMED.get(kind, kind)
    if kind == "llama" and header.values.get("general.name") == "mistral":
        family = "mistral"
    if not {kind, family} & known:
        raise ModelError(
            f"“{name}” is a GGUF file of the architecture “{kind[:60]}”, which transformers cannot "
            "read from GGUF. Use its safetensors, or a GGUF of Llama, Mistral, Qwen, Gemma, Phi-3 "
            "or another it reads."
        )
    if family not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelError(
            f"“{name}” is a GGUF file of “{kind[:60]}”, which is no language model that reads left "
            "to right, such as a Llama."
        )
    return family


_RENAMED = {
    "qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe", "gpt-oss": "gpt_oss", "gemma3": "gemma3_text",
    "gemma4": "gemma4_text", "minimax-m2": "minimax_m2", "qwen35": "qwen3_5_text",
    "qwen35moe": "qwen3_5_moe_text", "t5encoder": "t5", "command-r": "cohere",
}  # fmt: skip


def architecture_of(family: str) -> str:
    """The class that reads a family, as in `LlamaForCausalLM`."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    named = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family]
    return named if isinstance(named, str) else named[0]
