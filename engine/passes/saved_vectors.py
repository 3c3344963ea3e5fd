"""The numbers of directions that came from files, kept on this machine by what they are.

Each lies in a file of its own, named by the SHA-256 of the numbers, so that a link that has the
digest finds just these or none.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from jaxtyping import Float

from ..errors import EngineError, ExperimentError
from ..experiment.direction import Direction
from ..experiment.makings import FromFile

VARIABLE = "SWITCHBOARD_VECTORS"
"""The environment variable that names the directory of saved directions."""
MOST_BYTES = 64 * 2**20
"""Of a file of directions; a larger one is none."""
_NAME = "direction"


def vectors_folder() -> Path:
    """Where the numbers lie: the directory that the environment variable SWITCHBOARD_VECTORS names,
    else ~/.cache/switchboard/vectors; where nobody's home is known, one that cannot be written."""
    named = os.environ.get(VARIABLE)
    try:
        return Path(named) if named else Path.home() / ".cache" / "switchboard" / "vectors"
    except RuntimeError:
        return Path(os.devnull)


def digest_of(values: Float[np.ndarray, " d_model"]) -> str:
    """By what numbers are known: SHA-256 of them as little-endian float32."""
    return hashlib.sha256(np.ascontiguousarray(values, "<f4").tobytes()).hexdigest()


def keep_values(values: Float[np.ndarray, " d_model"]) -> str:
    """Keep numbers where links find them. Returns: their digest. Raises: EngineError in words."""
    digest = digest_of(values)
    path = vectors_folder() / f"{digest}.safetensors"
    write_whole(path, safetensors.numpy.save({_NAME: np.ascontiguousarray(values, "<f4")}))
    return digest


def kept_values(direction: Direction, made: FromFile) -> Float[np.ndarray, " d_model"]:
    """The numbers of a direction that came from a file.

    Raises: ExperimentError where they are not here, or are not what they were.
    """
    path = vectors_folder() / f"{made.digest}.safetensors"
    named = f"The direction “{direction.name}” is of a file (SHA-256 {made.digest[:12]}…)"
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError
        values: Any = safetensors.numpy.load(path.read_bytes())[_NAME]
        if digest_of(values) != made.digest:
            raise ValueError
    except OSError as wrong:
        raise ExperimentError(
            f"{named} that was not opened on this machine: open the file here too, as in "
            "engine.read_direction(path), and the link finds its numbers."
        ) from wrong
    except Exception as wrong:
        raise ExperimentError(
            f"{named} whose numbers, kept on this machine, are damaged: open the file again."
        ) from wrong
    return np.asarray(values)


def write_whole(
    path: Path, content: bytes, what: str = "directions", variable: str = VARIABLE
) -> None:
    """Put a file in its place at once. Raises: EngineError where it cannot be written, telling by
    which variable of the environment another directory is named for `what` is kept."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        os.replace(draft, path)
    except (OSError, ValueError) as wrong:
        with suppress(OSError, ValueError):
            draft.unlink(missing_ok=True)
        why = getattr(wrong, "strerror", None) or str(wrong)
        shown = str(path).encode("utf-8", "replace").decode()
        raise EngineError(
            f"{shown} cannot be written ({why}). To keep {what}, set {variable} to a directory "
            "that can be written to."
        ) from wrong
