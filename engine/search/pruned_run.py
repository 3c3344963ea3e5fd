"""What is left of a model when nodes are removed, scored with as little of it run anew as can be.

The run without the nodes that have gone is kept layer by layer. A node tried next sets out from it
at its own layer; where a node has gone, only what lies behind it is run anew, and not before it is
needed. So a walk from the last layer to the first costs half a pass a node, and so does one from
the first to the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..experiment.sites import MLP, Site
from ..model.model import Model
from ..model.worker import Steps
from ..passes.blockwise import alike
from ..passes.growing import WAVE_BYTES, Base, Branch, Edits, base, grown, run_layers
from ..passes.hooks import Edit
from ..passes.pace import Pace
from ..scoring.metrics import STORED
from ..scoring.prompts import Prompt
from ..scoring.scorer import Scorer
from .search import Node

_TOKENS_AT_ONCE = {"cuda": 8_192}
_FEW_TOKENS = 96
"""Tokens that take about as long as one: so many are asked about ahead."""


@dataclass
class _Group:
    """Prompts that share a pass, the run of what is left of them, and how they are scored."""

    prompts: list[Prompt]
    run: Base
    scorer: Scorer


class PrunedRun:
    """The scores of a task's prompts with nodes removed, on the worker's thread.

    `clean` is filled by `begin`: the whole model's score.
    """

    def __init__(self, model: Model, pace: Pace, prompts: Sequence[Prompt], metric: str) -> None:
        self._model, self._pace, self._metric = model, pace, metric
        self._prompts = prompts
        self._groups: list[_Group] = []
        self._removed: frozenset[Node] = frozenset()
        self._valid = 0
        self._made: dict[object, Edit] = {}

    def begin(self) -> Steps[float]:
        """Run the whole model. Returns: its score."""
        model, pace = self._model, self._pace
        numbers: list[np.ndarray] = []
        for prompts in together(self._model, self._prompts):
            question = [p.target for p in prompts]
            texts = [q.ids for q in question]
            run = yield from base(model, pace, texts, [()] * len(texts), question[0].places)
            scorer = Scorer(model, question, run)
            self._groups.append(_Group(prompts, run, scorer))
            own = list(range(len(texts)))
            numbers.append((yield from scorer.score(pace, run.leaving, own)))
        self._valid = model.shape.n_layers - 1
        return self._mean(numbers)

    @property
    def ahead(self) -> int:
        """How many nodes may be asked about at once for the price of one."""
        tokens = sum(len(p.target.ids) for p in self._prompts)
        return max(1, _TOKENS_AT_ONCE.get(self._model.device.type, _FEW_TOKENS) // tokens)

    @property
    def _most(self) -> int:
        """How many nodes' rows grow together."""
        s = self._model.shape
        tokens = sum(len(p.target.ids) for p in self._prompts)
        wide = 32 if self._model.device.type == "cuda" else 1
        row = tokens * s.d_model * self._model.dtype.itemsize
        return max(1, self.ahead, wide * WAVE_BYTES // row)

    def score(self, removed: frozenset[Node], nodes: Sequence[Node]) -> Steps[list[float]]:
        """The score without `removed` and one of `nodes`, for as many of these, in order, as fit
        into one batch."""
        nodes = nodes[: self._most]
        yield from self._settle(removed, max(node.site.layer for node in nodes))
        result: list[list[np.ndarray]] = [[] for _ in nodes]
        for group in self._groups:
            cells = [(i, text) for i in range(len(nodes)) for text in range(len(group.prompts))]
            cells.sort(key=lambda cell: (nodes[cell[0]].site.layer, cell[1]))
            branches = [Branch(text, self._edit(group.prompts[text], (nodes[i],)))
                        for i, text in cells]  # fmt: skip
            leaving = yield from grown(self._model, self._pace, group.run, branches)
            texts = [text for _, text in cells]
            numbers = yield from group.scorer.score(self._pace, leaving, texts)
            owners = np.array([i for i, _ in cells])
            for i, of_node in enumerate(result):
                of_node.append(numbers[:, owners == i])
        return [self._mean(numbers) for numbers in result]

    def _settle(self, removed: frozenset[Node], layer: int) -> Steps[None]:
        """Let the run be that without `removed`, up to what enters a layer."""
        changed = [node.site.layer for node in removed ^ self._removed]
        if changed:
            self._removed = removed
            self._valid = min(self._valid, min(changed))
            for group in self._groups:
                given = tuple(self._edits(prompt, removed) for prompt in group.prompts)
                group.run = replace(group.run, given=given)
        if self._valid < layer:
            for group in self._groups:
                yield from run_layers(self._model, self._pace, group.run, self._valid, layer)
            self._valid = layer

    def _edits(self, prompt: Prompt, removed: Iterable[Node]) -> Edits:
        """All removed nodes, those of one layer's heads at the same positions in one edit."""
        parts: dict[tuple[bool, int, int | None], list[Node]] = {}
        for node in sorted(removed, key=str):
            at = (isinstance(node.site, MLP), node.site.layer, node.position)
            parts.setdefault(at, []).append(node)
        return tuple(self._edit(prompt, tuple(nodes)) for nodes in parts.values())

    def _edit(self, prompt: Prompt, nodes: tuple[Node, ...]) -> Edit:
        """Nodes of one layer and position; prompts that take the same values share the edit."""
        position = nodes[0].position
        positions = prompt.positions if position is None else (position,)
        key = (nodes, positions, id(prompt.values))
        if key not in self._made:
            if len(self._made) > 4_096:
                self._made.clear()
            sites: list[Site] = [node.site for node in nodes]
            self._made[key] = prompt.edit(sites, positions)
        return self._made[key]

    def _mean(self, numbers: Sequence[np.ndarray]) -> float:
        values = np.concatenate(numbers, axis=1)
        if self._metric == "accuracy":
            return float((values[STORED.index("rank")] == 1).mean())
        return float(values[STORED.index(self._metric)].mean())


def together(model: Model, prompts: Sequence[Prompt]) -> Iterator[list[Prompt]]:
    """The prompts in groups that can share a pass: as many tokens, as many places scored."""
    groups: dict[tuple[int, ...], list[Prompt]] = {}
    for prompt in prompts:
        key = (len(prompt.target.places), *alike(model, prompt.target.ids))
        groups.setdefault(key, []).append(prompt)
    yield from groups.values()


def nbytes(model: Model, prompts: Sequence[Prompt]) -> int:
    """Bytes of the runs that are kept."""
    s = model.shape
    tokens = sum(len(p.target.ids) for p in prompts)
    width: int = s.d_model * model.dtype.itemsize
    return (s.n_layers + 1) * tokens * width + 8 * s.d_vocab * len(prompts)
