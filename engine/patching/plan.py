"""Which rows a patching has: one for each place, and position, whose value differs between runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..errors import EngineError
from ..experiment.experiment import Experiment
from ..experiment.sites import Shape, Site, resolve_sites
from ..model.model import Model
from ..model.worker import Steps
from ..passes import forward
from ..passes.hooks import grouped
from ..passes.references import take
from ..scoring.prompts import Prompt
from ..scoring.waves import Cell, Scored, Wave, site_rows, waves
from ..tasks.pairs import Pair
from .places import HEAD_PLACES, point_of, site_of

Unlike = set[tuple[int, forward.Capture, int, int]]
"""Of values that differ: the prompt's index, the place, the position, and the head there (−1: the
whole vector)."""
_SAME = 1e-6
"""Values that differ by less, relative to their length, are the same: rounding differs by more."""


@dataclass(frozen=True)
class Plan:
    """What is patched in which layers, as `Patch` asks for it."""

    e: Experiment
    pairs: tuple[Pair, ...]
    place: str
    direction: str
    per_position: bool
    layers: tuple[int, ...]


def layers_with(model: Model, place: str) -> tuple[int, ...]:
    """The layers that have what is patched. Raises: EngineError where none has."""
    point = point_of(place)
    layers = tuple(i for i in range(model.shape.n_layers) if model.reaches(point, i))
    if not layers:
        raise EngineError(model.why_not(point, 0))
    return layers


def sites_of(place: str, layer: int, shape: Shape) -> list[Site]:
    """The sites of a layer that are patched one by one: of keys and values, the first query head
    that reads each."""
    if place not in HEAD_PLACES:
        return [site_of(place, layer)]
    every = shape.n_heads // shape.n_key_value_heads if place in ("k", "v") else 1
    return [site_of(place, layer, head) for head in range(0, shape.n_heads, every)]


def unlike(
    model: Model, prompts: Sequence[Prompt], group: Sequence[int], wanted: set[forward.Capture]
) -> Steps[Unlike]:
    """Where the two runs of each prompt differ."""
    result: Unlike = set()
    for i in group:
        prompt = prompts[i]
        own = yield from take(model, (prompt.target.prompt.ids,), True, wanted)
        for at, value in own.items():
            other = prompt.values[at]
            off, size = (x.float().flatten(2) if x.ndim > 2 else x.float()[:, None]
                         for x in (value - other, value))  # fmt: skip
            differs = off.norm(dim=-1) > _SAME * size.norm(dim=-1).clamp_min(1e-30)
            for position, head in torch.nonzero(differs).tolist():
                result.add((i, at, position, head if value.ndim > 2 else -1))
    return result


def patched(
    model: Model,
    prompts: Sequence[Prompt],
    group: Sequence[int],
    plan: Plan,
    differs: Unlike,
) -> list[Wave]:
    """The rows of a group; what is the same in both runs is no row."""

    def acts(cell: Cell) -> bool:
        i, k, site = cell
        positions = prompts[i].positions if k is None else (prompts[i].positions[k],)
        ((at, index),) = grouped(resolve_sites((site,), model.shape), model.shape).items()
        heads = (-1,) if index is None else index
        return any((i, at, p, h) in differs for p in positions for h in heads)

    def rows_of(layer: int) -> list[Scored]:
        if layer not in plan.layers:
            return []
        sites = sites_of(plan.place, layer, model.shape)
        rows = site_rows(prompts, group, sites, plan.per_position)
        return [row for row in rows if acts(row[1])]

    return waves(model, prompts, group, rows_of)
