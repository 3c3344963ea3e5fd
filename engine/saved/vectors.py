"""The numbers of directions that came from files, kept on this machine by what they are.

Each lies in a file of its own, named by the SHA-256 of the numbers, so that a link that has the
digest finds just these or none.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from jaxtyping import Float

from ..errors import ExperimentError
from ..experiment.direction import Direction
from ..experiment.makings import FromFile
from .files import keep_file, kept_folder

VARIABLE = "SWITCHBOARD_VECTORS"
"""The environment variable that names the directory of saved directions."""
MOST_BYTES = 64 * 2**20
"""Of a file of directions; a larger one is none."""
_NAME = "direction"


def vectors_folder() -> Path:
    """The directory that SWITCHBOARD_VECTORS names, else as `kept_folder` has it."""
    return kept_folder(VARIABLE, "vectors")


def digest_of(values: Float[np.ndarray, " d_model"]) -> str:
    """By what numbers are known: SHA-256 of them as little-endian float32."""
    return hashlib.sha256(np.ascontiguousarray(values, "<f4").tobytes()).hexdigest()


def keep_values(values: Float[np.ndarray, " d_model"]) -> str:
    """Keep numbers where links find them. Returns: their digest. Raises: EngineError in words."""
    digest = digest_of(values)
    path = vectors_folder() / f"{digest}.safetensors"
    content = safetensors.numpy.save({_NAME: np.ascontiguousarray(values, "<f4")})
    keep_file(path, content, "directions", VARIABLE)
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
