"""What shares of words are above chance, many heads being looked at."""

from __future__ import annotations

from math import comb

_UNLIKELY = 0.05


def least_above(n: int, p: float, heads: int) -> float:
    """The least share of `n` words, each right with probability `p`, that none of so many heads
    reaches by chance but once in twenty times (binomial, times the number of heads)."""
    tail = 0.0
    for right in range(n, -1, -1):
        tail += comb(n, right) * p**right * (1 - p) ** (n - right)
        if tail * max(1, heads) > _UNLIKELY:
            return min(1.0, (right + 1) / n)
    return 0.0
