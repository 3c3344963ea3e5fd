"""Transformers' GGUF reading made quick, and made to end where a load is called off.

It reads the header with the `gguf` package, several times and string by string: 12 s of SmolLM2's
17 s went into a vocabulary that another reader reads anyway. Here long arrays are walked over, and
only their length is told; what transformers dequantizes, and how, is its own affair.
"""

from __future__ import annotations

import functools
import importlib
import struct
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from transformers import modeling_gguf_pytorch_utils as its_reader

from .building import go_on

_LONG = 1024
"""Items of an array from which it is a vocabulary's; what a config needs has one for each layer."""


@functools.cache
def hasten() -> None:
    """Put the quick reader in the place of the package's, once and for good."""
    gguf: Any = importlib.import_module("gguf")

    class Skimming(gguf.GGUFReader):  # type: ignore[misc]
        """A GGUFReader that gives long arrays as so many times their first item."""

        data: Any

        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
            if isinstance(self.data, np.memmap):
                self.data = self.data.view(np.ndarray)  # slices of a memmap cost ten times as much
            return super()._get(offset, dtype, count, override_order)

        def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
            if raw_type == gguf.GGUFValueType.ARRAY:
                of, length = struct.unpack_from("<IQ", self.data, orig_offs)
                if length > _LONG and self.byte_order == "I":
                    return self._skimmed(orig_offs, of, length)
            return super()._get_field_parts(orig_offs, raw_type)

        def _skimmed(self, begin: int, of: int, length: int) -> Any:
            size, parts, at, types = super()._get_field_parts(begin + 12, of)
            end = begin + 12
            if of == gguf.GGUFValueType.STRING:
                for _ in range(length):
                    end += 8 + struct.unpack_from("<Q", self.data, end)[0]
            else:
                end += size * length
            head = [self._get(begin, np.uint32), self._get(begin + 4, np.uint64)]
            types = [gguf.GGUFValueType.ARRAY, *types]
            return end - begin, [*head, *parts], [2 + at[0]] * length, types

    gguf.GGUFReader = Skimming
    gguf.get_tensor_name_map = functools.cache(gguf.get_tensor_name_map)
    its_reader.tqdm = _each  # type: ignore[attr-defined]


def _each(tensors: Iterable[Any], **_told: object) -> Iterator[Any]:
    """In the place of its progress bar: it goes on only while the load does."""
    for tensor in tensors:
        go_on()
        yield tensor
