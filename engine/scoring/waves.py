"""Rows that are scored many at a time: which prompts are held together, and the rows wave by wave.

A row is one prompt with one more edit, at the places of some site; it sets out from its prompt's
run and grows with the others of its wave (`passes.growing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..experiment.sites import Site
from ..model.model import Model
from ..model.worker import Steps
from ..passes.blockwise import alike
from ..passes.growing import WAVE_BYTES, Base, Branch, grown
from ..passes.hooks import Edit
from ..passes.pace import Pace
from .prompts import Prompt

STREAM_BYTES = 256 * 2**20
"""Residual streams and clean distributions of the prompts that are held at once."""

Cell = tuple[int, int | None, Site]
"""Of a row: its prompt, by index; the place among the positions (None without such an axis); and
the site."""
Scored = tuple[Branch, Cell]
"""A row, and what it is the row of."""


class Scores(Protocol):
    """What scores rows that left the last layer, each of the text named by its index, as
    `Scorer.score` does; whatever it measures is [measure rows]."""

    def score(
        self, pace: Pace, vectors: Float[Tensor, "rows places d_model"], texts: Sequence[int]
    ) -> Steps[np.ndarray]: ...


@dataclass(frozen=True)
class Wave:
    """Rows that are run together, of prompts `members` (by index), each with its cell."""

    members: tuple[int, ...]
    branches: tuple[Branch, ...]
    cells: tuple[Cell, ...]


def batches(model: Model, prompts: Sequence[Prompt]) -> Iterator[list[list[int]]]:
    """Prompts (by index) that are held at once, in groups that can share a pass: as many tokens,
    and logits wanted at as many places."""
    s = model.shape
    keys = [(len(p.target.places), *alike(model, p.target.ids)) for p in prompts]
    order = sorted(range(len(prompts)), key=lambda i: keys[i])
    batch: list[list[int]] = []
    held = 0
    for i in order:
        streams = (
            2 * (s.n_layers + 1) * len(prompts[i].target.ids) * s.d_model * model.dtype.itemsize
        )
        nbytes = streams + 8 * s.d_vocab
        if batch and held + nbytes > STREAM_BYTES:
            yield batch
            batch, held = [], 0
        if not batch or keys[batch[-1][0]] != keys[i]:
            batch.append([])
        batch[-1].append(i)
        held += nbytes
    if batch:
        yield batch


def site_rows(
    prompts: Sequence[Prompt], group: Sequence[int], sites: Sequence[Site], per_position: bool
) -> list[Scored]:
    """A row a site of one layer, or one at each of the positions. Prompts that take the same values
    at the same positions share an edit."""
    made: dict[object, Edit] = {}
    rows: list[Scored] = []
    for text, i in enumerate(group):
        one = prompts[i]
        places: list[tuple[int | None, tuple[int, ...]]] = (
            [(k, (p,)) for k, p in enumerate(one.positions)]
            if per_position
            else [(None, one.positions)]
        )
        for site in sites:
            for k, positions in places:
                if positions:
                    key = (site, positions, id(one.values))
                    if key not in made:
                        made[key] = one.edit((site,), positions)
                    rows.append((Branch(text, made[key]), (i, k, site)))
    return rows


def rows_at_once(model: Model, n_tokens: int) -> int:
    """How many rows of so many tokens grow together."""
    wide = 32 if model.device.type == "cuda" else 1
    return max(1, wide * WAVE_BYTES // (n_tokens * model.shape.d_model * model.dtype.itemsize))


def waves(
    model: Model,
    prompts: Sequence[Prompt],
    group: Sequence[int],
    rows_of: Callable[[int], list[Scored]],
) -> list[Wave]:
    """The rows of a group, those of the last layers first. `rows_of`: those of a layer."""
    s = model.shape
    most = rows_at_once(model, len(prompts[group[0]].target.ids))
    result: list[Wave] = []
    part: list[Scored] = []

    def cut(rows: list[Scored]) -> None:
        rows.sort(key=lambda row: (row[0].layer, row[0].text))
        if rows:
            result.append(Wave(tuple(group), tuple(r[0] for r in rows), tuple(r[1] for r in rows)))

    for layer in reversed(range(s.n_layers)):
        rows = rows_of(layer)
        if part and len(part) + len(rows) > most:
            cut(part)
            part = []
        while len(rows) > most:
            cut(rows[:most])
            rows = rows[most:]
        part += rows
    cut(part)
    return result


def run_waves(
    model: Model,
    pace: Pace,
    runs: Mapping[tuple[int, ...], tuple[Base, Scores]],
    some: Sequence[Wave],
    done: Callable[[Wave, np.ndarray], None],
) -> Steps[None]:
    """Run the waves of groups whose runs are there, the last layers' first, and hand over each with
    its scores [metric row], of a Scorer in the order of `metrics.STORED`."""
    for wave in sorted(some, key=lambda wave: -wave.branches[-1].layer):
        run, scorer = runs[wave.members]
        leaving = yield from grown(model, pace, run, wave.branches)
        texts = [branch.text for branch in wave.branches]
        done(wave, (yield from scorer.score(pace, leaving, texts)))
