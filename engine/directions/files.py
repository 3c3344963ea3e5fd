"""Files of directions, in and out: safetensors with the making in the header; repeng's and
llama.cpp's GGUF control vectors; steering-vectors' numbers by layer.

| file | a tensor is |
|---|---|
| `.safetensors` | a direction by its name; `directions` in the header have the rest |
| `.gguf` | `direction.N`, added to what leaves block N, which is the stream r(N+1) |
| `.pt` | `layer_activations[N]` of steering-vectors: a decoder_block's (r(N+1)), or an mlp's |

What is read is numbers alone: kept on this machine by their digest, whatever made them.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from ..errors import EngineError
from ..experiment.direction import MOST_VECTORS, Direction
from ..experiment.makings import FromFile
from ..experiment.sites import MLP, AsSites, Stream
from ..saved.files import keep_file
from ..saved.vectors import MOST_BYTES, VARIABLE, keep_values
from .foreign import NotReadError, Read, read_gguf, read_torch, write_gguf, write_torch
from .results import DirectionValues

FORMS = ("safetensors", "gguf", "pt")


def write_directions(
    results: DirectionValues | Sequence[DirectionValues], form: str = "safetensors"
) -> bytes:
    """Directions of one model as a file, `form` being one of safetensors, gguf and pt.

    Only safetensors keep names, makings and norms, and any site; the others a direction for each
    layer's output, r1 and up (or, in a pt, for each MLP).
    Raises: EngineError for what such a file cannot hold.
    """
    every = [results] if isinstance(results, DirectionValues) else list(results)
    if not every or not all(isinstance(one, DirectionValues) for one in every):
        raise EngineError("What is written are results of engine.direction, one or more.")
    names = [one.direction.name for one in every]
    if len({one.model for one in every}) > 1 or len(set(names)) < len(names):
        raise EngineError("A file is of directions of one model, each of another name.")
    match form:
        case "safetensors":
            told = [
                {**one.direction.to_dict(), "norm": one.norm, "stream_norm": one.stream_norm}
                for one in every
            ]
            header = {"model": every[0].model, "directions": json.dumps(told)}
            arrays = {one.direction.name: np.ascontiguousarray(one.values) for one in every}
            return safetensors.numpy.save(arrays, header)
        case "gguf":
            return write_gguf(_by_layer(every, form, (Stream,)), every[0].model)
        case "pt":
            kinds = {type(one.direction.site) for one in every}
            if len(kinds) > 1:
                raise EngineError("A pt file is of streams (r5) or of MLPs (m5), not of both.")
            numbers = _by_layer(every, form, (Stream, MLP))
            return write_torch(numbers, "mlp" if kinds == {MLP} else "decoder_block")
    raise EngineError(f"Directions are written as {', '.join(FORMS)}, not as “{form!s:.20}”.")


def save_direction(
    results: DirectionValues | Sequence[DirectionValues], path: str | os.PathLike[str]
) -> None:
    """Write `write_directions` to a file, its form being the name's ending.

    Raises: EngineError in words, also where it cannot be written.
    """
    where = Path(path)
    content = write_directions(results, where.suffix.removeprefix("."))
    keep_file(where, content, "directions", VARIABLE)


def read_directions(
    given: bytes | str | os.PathLike[str], name: str = "", site: AsSites = ""
) -> tuple[Direction, ...]:
    """The directions in a file, or in its bytes; their numbers are kept where links find them.

    `name`: what one is called where the file has no name, or, of several, how their names begin.
    `site`: where it is, where the file does not say.
    Raises: EngineError in words for a file that is none, is damaged, or holds what none can be.
    """
    try:
        content = bytes(given) if isinstance(given, bytes | bytearray) else _content(Path(given))
        if len(content) > MOST_BYTES:
            raise NotReadError(f"it has more than {MOST_BYTES / 2**20:.0f} MiB")
        match content[:4]:
            case b"GGUF":
                read = read_gguf(content)
            case b"PK\x03\x04":
                read = read_torch(content)
            case _:
                read = _read_safetensors(content)
        if not 0 < len(read) <= MOST_VECTORS:
            raise NotReadError(f"it holds {len(read)} directions, where 1 to {MOST_VECTORS} may be")
        checked = [(one, _checked(one)) for one in read]
    except NotReadError as wrong:
        raise EngineError(f"This file is not read as directions: {wrong}.") from wrong
    stem = "" if isinstance(given, bytes | bytearray) else Path(given).stem
    name = name or re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[:30] or "direction"
    result = []
    for one, values in checked:
        called = one.name or (name if len(read) == 1 else f"{name}-{one.site}")
        if not (one.site or site):
            raise EngineError(
                "The file does not say where in the stream its direction lies: give `site`, as in "
                "“r5”."
            )
        called = re.sub(r"[^A-Za-z0-9_-]+", "-", called)
        made = FromFile(keep_values(values), one.model)
        result.append(Direction(called, one.site or site, made))
    return tuple(result)


def read_direction(
    given: bytes | str | os.PathLike[str], name: str = "", site: AsSites = ""
) -> Direction:
    """The one direction in a file, as `read_directions` reads it. Raises: EngineError where there
    are several."""
    result = read_directions(given, name, site)
    if len(result) > 1:
        some = ", ".join(one.name for one in result[:4])
        raise EngineError(
            f"The file holds {len(result)} directions ({some}…): engine.read_directions gives all."
        )
    return result[0]


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise NotReadError(f"there is no file {str(path)[:200]!r}")
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as wrong:
        raise NotReadError(f"it cannot be read ({str(wrong)[:200]})") from wrong


def _by_layer(
    every: Sequence[DirectionValues], form: str, kinds: tuple[type, ...]
) -> dict[int, np.ndarray]:
    """Numbers by block: those of its output, which is the stream that enters the next."""
    result: dict[int, np.ndarray] = {}
    for one in every:
        site = one.direction.site
        if not isinstance(site, kinds) or (
            isinstance(site, Stream) and (site.mid or not site.layer)
        ):
            raise EngineError(
                f"A {form} file has a direction for what leaves a block (r1 and up), and "
                f"“{one.direction.name}” is of {site}: write it as safetensors."
            )
        layer = site.layer - isinstance(site, Stream)
        if layer in result:
            raise EngineError(f"A {form} file has one direction a layer; two are of {site}.")
        result[layer] = np.ascontiguousarray(one.values, np.float32)
    return result


def _read_safetensors(content: bytes) -> list[Read]:
    try:
        arrays: dict[str, Any] = safetensors.numpy.load(content)
        (size,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + size]).get("__metadata__") or {}
        told = {one["name"]: one for one in json.loads(header.get("directions", "[]"))}
        return [
            Read(name if name in told else "", str(told.get(name, {}).get("site", "")),
                 str(header.get("model", "")), values)
            for name, values in sorted(arrays.items())
        ]  # fmt: skip
    except Exception as wrong:  # whatever a reader makes of damage
        raise NotReadError(
            f"it is no safetensors, GGUF or torch file that can be read ({str(wrong)[:120]})"
        ) from wrong


def _checked(one: Read) -> np.ndarray:
    """The numbers of a direction. Raises: NotReadError for what cannot be any."""
    called = f"“{one.name or one.site or 'its tensor'}”"
    try:
        values = np.asarray(one.values)
        if values.dtype.kind != "f":
            raise NotReadError(f"{called} is of {values.dtype}, not of real numbers")
        if values.ndim != 1 or not values.size:
            shape = " × ".join(map(str, values.shape)) or "one number"
            raise NotReadError(f"{called} is no vector: its shape is {shape}")
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
    except (TypeError, ValueError) as wrong:
        raise NotReadError(f"{called} holds no numbers ({str(wrong)[:80]})") from wrong
    if not np.isfinite(values).all():
        raise NotReadError(f"{called} holds infinity or NaN")
    return values
