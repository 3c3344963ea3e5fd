"""Attention patterns made small enough to see all at once: pooled, and in 8 bits."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from .results import Thumbnails


def pooled(
    pattern: Float[np.ndarray, "head pos pos"], size: int
) -> Float[np.ndarray, "head row col"]:
    """Keep of each block of a pattern its value furthest from 0, so that nothing thin is lost.

    Returns: at most `size` rows and columns; the pattern itself where it is no larger.
    """
    n = pattern.shape[-1]
    if n <= size:
        return pattern
    starts = np.arange(size) * n // size
    most = _blocks(np.maximum, pattern, starts)
    if pattern.min() >= 0:
        return most
    least = _blocks(np.minimum, pattern, starts)
    return np.where(-least > most, least, most)


def _blocks(which: np.ufunc, pattern: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Each block's value; slice by slice, which is several times faster than `reduceat`."""
    ends = np.append(starts[1:], pattern.shape[-1])

    def rows(of: np.ndarray) -> np.ndarray:
        each = [which.reduce(of[:, a:b], axis=1) for a, b in zip(starts, ends, strict=True)]
        return np.stack(each, axis=1)

    return rows(np.ascontiguousarray(rows(pattern).swapaxes(1, 2))).swapaxes(1, 2)


def shaded(
    layers: list[Float[np.ndarray, "head row col"] | None], most: float | None = None
) -> Thumbnails:
    """Put pooled patterns on one scale for all heads, from −`most` to `most` in 255 steps; a layer
    that is None is 0 throughout.

    `most` None is the largest absolute value there is.
    """
    blank = np.zeros_like(next(layer for layer in layers if layer is not None))
    together = np.stack([blank if layer is None else layer for layer in layers])
    if most is None:
        most = float(np.abs(together).max())
    scale = 127 / most if most > 0 else 0.0
    return Thumbnails(np.rint(together * scale).clip(-127, 127).astype(np.int8), most)
