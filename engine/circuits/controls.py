"""Random controls: sites drawn without overlap with the set they control for, its seed recorded.

A set of heads that matters is only interesting beside as many heads that do not. What a control
does not show: that the set is the circuit; only that its effect is not that of any so many heads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, product
from math import comb, prod
from random import Random
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import ExperimentError
from ..experiment.numbers import whole_number
from ..experiment.sites import MLP, Head, Neuron, Shape, Site, resolve_sites

MOST_CONTROLS = 1_000
ENOUGH = 19
"""So many different controls are needed for a verdict: to be the best of fewer is chance more often
than once in twenty."""


@dataclass(frozen=True)
class Controls:
    """Random circuits, without overlap with the one they control for, put to the same tests.

    `sites`: of each. `kept`, `removed`: their mean logit differences, [controls]; `kept_std`,
    `removed_std`: the standard deviations of each over pairs, where known. `seed` and
    `layer_matched`: how they were drawn. `same_mlps`: whether the MLPs are the circuit's own, there
    being too few others, so that only heads differ.
    """

    sites: tuple[tuple[Site, ...], ...]
    kept: Float[np.ndarray, " controls"]
    removed: Float[np.ndarray, " controls"]
    seed: int
    layer_matched: bool
    same_mlps: bool
    kept_std: Float[np.ndarray, " controls"] | None = None
    removed_std: Float[np.ndarray, " controls"] | None = None


def number_of_controls(value: Any) -> int:
    """How many controls are asked for. Raises: ExperimentError for what is no such number."""
    n = whole_number(value, "How many controls")
    if not 0 <= n <= MOST_CONTROLS:
        raise ExperimentError(f"0 to {MOST_CONTROLS:,} controls can be drawn, not {n:,}.")
    return n


def random_controls(
    sites: Iterable[Site], shape: Shape, n: int, seed: int = 0, layer_matched: bool = True
) -> tuple[tuple[Site, ...], ...]:
    """Draw n different sets with as many heads, MLPs and neurons as `sites`, and none of its own;
    all there are, where these are fewer.

    `layer_matched`: as many heads and neurons in each layer; MLPs, of which a layer has one, come
    from the other layers.
    Raises: ExperimentError where too few sites are left to draw from, naming the layer.
    """
    n = number_of_controls(n)
    named = resolve_sites(sites, shape)
    if not n:
        return ()
    if not named:
        raise ExperimentError("A set without sites has no controls; name some heads or MLPs.")
    kinds = (Head, MLP, Neuron)
    other = next((site for site in named if not isinstance(site, kinds)), None)
    if other is not None:
        raise ExperimentError(
            f"Controls are drawn for heads, MLPs and neurons, not for {other}: leave it out, or "
            "ask for no controls."
        )
    pools = [pool for kind in kinds for pool in _pools(kind, named, shape, layer_matched)]
    if prod(comb(len(pool), size) for pool, size in pools) <= n:
        every = product(*(combinations(pool, size) for pool, size in pools))
        return tuple(tuple(site for part in parts for site in part) for parts in every)
    rng = Random(seed)
    drawn: dict[tuple[Site, ...], None] = {}
    while len(drawn) < n:
        parts = [_sample(pool, size, rng) for pool, size in pools]
        drawn[tuple(site for part in parts for site in part)] = None
    return tuple(drawn)


def _pools(
    kind: type, named: tuple[Site, ...], shape: Shape, layer_matched: bool
) -> list[tuple[list[Site], int]]:
    """What is drawn from, and how many of it: for each layer, or for all of them together."""
    wanted = [site for site in named if isinstance(site, kind)]
    if not wanted:
        return []
    everywhere = kind is MLP or not layer_matched
    layers = [range(shape.n_layers)] if everywhere else sorted({(s.layer,) for s in wanted})
    pools: list[tuple[list[Site], int]] = []
    for group in layers:
        taken = {site for site in wanted if site.layer in group}
        pool = [s for layer in group for s in _sites_of(kind, layer, shape) if s not in taken]
        if len(pool) < len(taken):
            where = "the model" if everywhere else f"layer {group[0]}"
            name = {Head: "heads", MLP: "MLPs", Neuron: "neurons"}[kind]
            raise ExperimentError(
                f"The set has {len(taken)} {name} of {where}, and only {len(pool)} others are "
                "there to draw a control from"
                + ("." if everywhere else ": draw controls that are not layer-matched.")
            )
        pools.append((pool, len(taken)))
    return pools


def _sample(pool: list[Site], n: int, rng: Random) -> list[Site]:
    return [pool[i] for i in sorted(rng.sample(range(len(pool)), n))]


def _sites_of(kind: type, layer: int, shape: Shape) -> list[Site]:
    if kind is MLP:
        return [mlp for mlp in shape.mlps if mlp.layer == layer]
    if kind is Head:
        return [head for head in shape.heads if head.layer == layer]
    return [Neuron(layer, i) for i in range(shape.d_mlp or 0)]
