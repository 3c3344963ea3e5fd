"""Which circuits are run for a curve: a ranking's own, and those of random ones beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..model.worker import Steps
from .ranked import Ranked
from .results import SHARES
from .wiring import Wiring


@dataclass(frozen=True, eq=False)
class Plan:
    """Circuits by ranking, one's own first, and size: the key of each, and the edges it keeps by
    key, each once. `n_edges`: of one's own, those that are left of it pruned."""

    sizes: tuple[int, ...]
    n_members: int
    keys: list[list[bytes]]
    kept: dict[bytes, np.ndarray]
    n_edges: tuple[int, ...]

    @property
    def every(self) -> list[bytes]:
        """All keys, each once, one's own first."""
        return list(dict.fromkeys(key for keys in self.keys for key in keys))


def planned(
    wiring: Wiring, ranked: Ranked, order: Sequence[str], controls: int, seed: int
) -> Steps[Plan]:
    """The circuits of a ranking, whose members are `order`, and of random orders of them.

    Circuits of edges are run pruned, which changes no number and makes many of them one.
    """
    n, level = len(order), ranked.level
    if ranked.is_circuit:
        sizes: tuple[int, ...] = (sum(score == 1 for _, score in ranked.scores),)
    else:
        sizes = tuple(int(share * n) for share in SHARES)
    members = wiring.places(level, order)
    unscored = [] if level == "edges" else [name for name in wiring.index if name not in {*order}]
    always = wiring.places(level, unscored)
    rng, keys, n_edges = np.random.default_rng(seed), [], []
    kept: dict[bytes, np.ndarray] = {}
    for draw in range(1 + controls):
        if draw:
            members = rng.permutation(members)
        own: list[bytes] = []
        for size in sizes:
            whole = wiring.kept(level, np.concatenate([members[:size], always]))
            pruned = wiring.pruned(whole)
            if not draw:
                n_edges.append(int(pruned.sum()))
            run = pruned if level == "edges" else whole
            own.append(np.packbits(run).tobytes())
            kept.setdefault(own[-1], run)
            yield 0.0
        keys.append(own)
    return Plan(sizes, n, keys, kept, tuple(n_edges))
