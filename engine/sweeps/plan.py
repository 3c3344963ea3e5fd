"""What a sweep runs: its questions, the edit of each site on each, and the rows, wave by wave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.sites import Shape, Site
from ..model.model import Model
from ..model.worker import Steps
from ..passes import forward
from ..passes.blockwise import alike
from ..passes.growing import Branch, Edits
from ..passes.hooks import Edit, ablated_sites, edit, grouped
from ..passes.prepare import prepare
from ..passes.references import site_values
from ..tasks.pairs import Pair
from .scores import Question, question

WAVE_BYTES = 10 * 2**20
"""Residual stream of the rows that grow together; their results come together too."""
STREAM_BYTES = 256 * 2**20
"""Residual streams and clean distributions of the prompts that are held at once."""


@dataclass(frozen=True)
class Prompt:
    """One prompt of a sweep: its experiment, its question, and what is put in place of each site.

    `given`: the edits it carries anyway. `positions`: where sites are ablated. `shape`: of the
    model it is a prompt for.
    """

    e: Experiment
    question: Question
    given: Edits
    positions: tuple[int, ...]
    values: dict[forward.Capture, Tensor]
    shape: Shape

    def edit(self, sites: Sequence[Site], positions: tuple[int, ...]) -> Edit:
        """Heads of one layer, or one MLP, ablated at these positions."""
        ((at, index),) = grouped(sites, self.shape).items()
        return edit(at, index, self.e.method, positions, self.values.get(at))


@dataclass(frozen=True)
class Wave:
    """Rows that are run together, of prompts `members` (by index). `cells`: for each branch the
    prompt's index, the place among the positions (None without such an axis), and the site."""

    members: tuple[int, ...]
    branches: tuple[Branch, ...]
    cells: tuple[tuple[int, int | None, Site], ...]


def experiments(e: Experiment, pairs: Sequence[Pair] | None) -> tuple[Experiment, ...]:
    """One experiment a pair, each with the references of all; e itself without any.

    Raises: ExperimentError for no pairs at all.
    """
    if pairs is None:
        return (e,)
    if not pairs:
        raise ExperimentError("There are no prompts to sweep over; give at least one pair.")
    references = e.references or tuple(p.corrupted for p in pairs if p.corrupted)
    return tuple(
        replace(
            e,
            prompt=p.prompt,
            corrupted=p.corrupted,
            answer=p.answer,
            distractor=p.distractor,
            references=references,
        )
        for p in pairs
    )


def read(
    model: Model, each: Sequence[Experiment], at: str, per_position: bool
) -> Steps[list[Prompt]]:
    """Read every prompt and take the reference means, once for all that share them.

    Raises: ExperimentError, TokenError or SiteError saying what does not fit.
    """
    found: list[Prompt] = []
    taken: dict[object, dict[forward.Capture, Tensor]] = {}
    lengths: dict[int, str] = {}
    for i, e in enumerate(each):
        asked = question(model, e, at)
        n = len(asked.prompt)
        lengths.setdefault(n, e.prompt)
        if per_position and len(lengths) > 1:
            (a, one), (b, other) = list(lengths.items())[:2]
            raise ExperimentError(
                f"“{one[:60]}” is {a} tokens long and “{other[:60]}” {b}; position by position "
                "needs prompts of one length."
            )
        kind = e.method.kind
        shared = (n if kind.by_position else None, i if kind.takes == "corrupted" else None)
        if shared not in taken:
            taken[shared] = yield from site_values(model, e, asked.prompt)
        acting = e.positions.at(n, n if per_position or kind.by_position else len(asked.ids))
        prepared = yield from prepare(model, e, asked.prompt)
        given = prepared.edits(len(asked.ids))
        found.append(Prompt(e, asked, given, acting, taken[shared], model.shape))
        yield 0.0
    return found


def batches(model: Model, prompts: Sequence[Prompt]) -> Iterator[list[list[int]]]:
    """Prompts (by index) that are held at once, in groups that can share a pass: as many tokens,
    and logits wanted at as many places."""
    s = model.shape
    keys = [(len(p.question.places), *alike(model, p.question.ids)) for p in prompts]
    order = sorted(range(len(prompts)), key=lambda i: keys[i])
    batch: list[list[int]] = []
    held = 0
    for i in order:
        streams = (
            2 * (s.n_layers + 1) * len(prompts[i].question.ids) * s.d_model * model.dtype.itemsize
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
    n = len(prompts[group[0]].question.ids)
    wide = 32 if model.device.type == "cuda" else 1
    most = max(1, wide * WAVE_BYTES // (n * s.d_model * model.dtype.itemsize))
    found: list[Wave] = []
    part: list[tuple[Branch, tuple[int, int | None, Site]]] = []

    def cut(rows: list[tuple[Branch, tuple[int, int | None, Site]]]) -> None:
        rows.sort(key=lambda row: (row[0].layer, row[0].text))
        if rows:
            found.append(Wave(tuple(group), tuple(r[0] for r in rows), tuple(r[1] for r in rows)))

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
    return found


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


def references_of(each: Sequence[Experiment]) -> tuple[str, ...]:
    """The prompts that values were taken from, for the method and for what is changed besides."""
    first = each[0]
    takes = {method.kind.takes for method in (first.method, *(c.becomes for c in first.changes))}
    averaged = first.references or (first.corrupted,) if "references" in takes else ()
    own = [e.corrupted for e in each] if "corrupted" in takes else []
    return (*averaged, *(text for text in own if text not in averaged))
