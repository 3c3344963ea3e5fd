"""What a sweep runs: its prompts, the edit of each site on each, and the rows, wave by wave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..experiment.sites import Site
from ..model.model import Model
from ..passes.blockwise import alike
from ..passes.growing import WAVE_BYTES, Branch
from ..passes.hooks import Edit, ablated_sites
from ..scoring.prompts import Prompt

STREAM_BYTES = 256 * 2**20
"""Residual streams and clean distributions of the prompts that are held at once."""


@dataclass(frozen=True)
class Wave:
    """Rows that are run together, of prompts `members` (by index). `cells`: for each branch the
    prompt's index, the place among the positions (None without such an axis), and the site."""

    members: tuple[int, ...]
    branches: tuple[Branch, ...]
    cells: tuple[tuple[int, int | None, Site], ...]


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


def waves(
    model: Model, prompts: Sequence[Prompt], group: Sequence[int], per_position: bool
) -> list[Wave]:
    """The rows of a group, those of the last layers first; idle sites are no rows."""
    s = model.shape
    idle = set(idle_sites(model, prompts[group[0]]))
    n = len(prompts[group[0]].target.ids)
    wide = 32 if model.device.type == "cuda" else 1
    most = max(1, wide * WAVE_BYTES // (n * s.d_model * model.dtype.itemsize))
    result: list[Wave] = []
    part: list[tuple[Branch, tuple[int, int | None, Site]]] = []

    def cut(rows: list[tuple[Branch, tuple[int, int | None, Site]]]) -> None:
        rows.sort(key=lambda row: (row[0].layer, row[0].text))
        if rows:
            result.append(Wave(tuple(group), tuple(r[0] for r in rows), tuple(r[1] for r in rows)))

    for layer in reversed(range(s.n_layers)):
        sites: list[Site] = [head for head in s.heads if head.layer == layer]
        sites += [mlp for mlp in s.mlps if mlp.layer == layer]
        rows = _rows(prompts, group, [x for x in sites if x not in idle], per_position)
        if part and len(part) + len(rows) > most:
            cut(part)
            part = []
        while len(rows) > most:
            cut(rows[:most])
            rows = rows[most:]
        part += rows
    cut(part)
    return result


def idle_sites(model: Model, prompt: Prompt) -> list[Site]:
    """The heads and MLPs that change nothing more: given already, or all if none acts anywhere."""
    s = model.shape
    every: list[Site] = [*s.heads, *s.mlps]
    given = set(ablated_sites(prompt.e.ablations, s)) if prompt.positions else set(every)
    return [site for site in every if site in given]


def _rows(
    prompts: Sequence[Prompt], group: Sequence[int], sites: Sequence[Site], per_position: bool
) -> list[tuple[Branch, tuple[int, int | None, Site]]]:
    """One layer's rows. Prompts that take the same values at the same positions share an edit."""
    made: dict[object, Edit] = {}
    rows: list[tuple[Branch, tuple[int, int | None, Site]]] = []
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
