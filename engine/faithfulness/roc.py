"""How well a ranking tells the members of a known circuit from all else.

The area under the receiver operating characteristic: the chance that a member, drawn at random,
ranks before something that is none, equal scores counting half (Mann & Whitney 1947). What it does
not show: anything of how the known circuit was known.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..circuits.circuit import Circuit
from ..errors import ExperimentError
from .ranked import ORDERS, Ranked


def auroc(
    ranked: Ranked, known: Circuit | Ranked | Iterable[object], by: str = "magnitude"
) -> float:
    """Of a ranking against the circuit `known`: its sites, a ranking that is a circuit, or names of
    nodes or edges, as in `["0.1->1.2.k"]`.

    Returns: 1 where every member ranks before all else, 0.5 by chance, 0 the other way round.
    Raises: ExperimentError for a member that is not ranked, or where all or nothing is known.
    """
    if by not in ORDERS:
        raise ExperimentError(f"Scores are ordered by {', '.join(ORDERS)}, not “{by!s:.40}”.")
    members = _members(known)
    scored = dict(ranked.scores)
    other = next((name for name in members if name not in scored), None)
    if other is not None:
        raise ExperimentError(f"{other:.60} is not ranked by “{ranked.name[:60]}”.")
    inside = np.array([name in members for name in scored])
    if inside.all() or not inside.any():
        raise ExperimentError(
            f"The circuit has {int(inside.sum())} of {len(inside)} members: where it is all or "
            "nothing, no ranking tells it apart."
        )
    values = np.array([*scored.values()])
    values = np.abs(values) if by == "magnitude" else values
    own, others = values[inside], np.sort(values[~inside])
    below = np.searchsorted(others, own, "left")
    through = np.searchsorted(others, own, "right")
    return float(((below + through) / 2).mean() / len(others))


def _members(known: Circuit | Ranked | Iterable[object]) -> set[str]:
    match known:
        case Circuit():
            return {str(site) for site in (*known.heads, *known.mlps)}
        case Ranked():
            if not known.is_circuit:
                raise ExperimentError(f"“{known.name[:60]}” is a ranking, not a circuit.")
            return {name for name, score in known.scores if score == 1}
        case str():
            return set(known.split())
    return set(map(str, known))
