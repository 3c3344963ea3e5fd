"""Circuits run: everything that is not kept is as in the corrupted run.

Rows are circuits of pairs of one token count; each sets out as the clean prompt does. Values from
the corrupted run are taken at the same positions, at every token that is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..attribution.backward import metric_of
from ..experiment.sites import MLP, Head
from ..gradients.graph import Graph
from ..gradients.runs import CLEAN, CORRUPTED, Runs
from ..model.model import Model
from ..model.worker import Steps
from ..passes.hooks import Edit
from ..passes.overflow import check_numbers
from ..passes.pace import Pace

SEEN = ("z", "mlp_out")
"""What must be seen of both runs for circuits of nodes."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Circuits of pairs: which pair each row is of, by index, and which edges it keeps."""

    pairs: Int[np.ndarray, " row"]
    kept: Bool[np.ndarray, "row sender receiver"]


class Circuits(Protocol):
    """How circuits of one kind are run."""

    def nbytes(self, n_tokens: int) -> int:
        """What a row holds while it is run."""

    def cost(self, n_tokens: int) -> float:
        """Operations of a row."""

    def run(self, pace: Pace, runs: Runs, rows: Rows) -> Steps[Float[Tensor, "row pos d_model"]]:
        """What rows leave the last layer as, at positions that are scored."""


def metrics_of(
    model: Model,
    pace: Pace,
    runs: Runs,
    rows: Rows,
    leaving: Float[Tensor, "row pos d_model"],
    metric: str,
) -> Steps[Float[np.ndarray, " row"]]:
    """The metric of rows that left the last layer as `leaving`."""
    targets = [runs.targets[i] for i in rows.pairs]
    result = np.full(len(targets), np.nan)

    def work(start: int, stop: int) -> None:
        some = slice(start, stop)
        found = metric_of(model, targets[some], leaving[some], metric)
        result[some] = found.double().cpu().numpy()

    places = len(targets[0].places)
    nbytes = 8 * places * model.shape.d_vocab
    yield from pace.steps(len(targets), places * pace.unembedding_cost, nbytes, work)
    return result


class NodeCircuits:
    """Circuits of nodes: the outputs of those not kept are changed, by the house's own edits."""

    def __init__(self, model: Model, graph: Graph) -> None:
        self._model, self._graph = model, graph
        self._heads: dict[int, list[int]] = {}
        for i, site in enumerate(graph.senders):
            if isinstance(site, Head):
                self._heads.setdefault(site.layer, []).append(i)
        self._mlps = {s.layer: i for i, s in enumerate(graph.senders) if isinstance(s, MLP)}

    def nbytes(self, n_tokens: int) -> int:
        return 4 * n_tokens * 8 * self._model.shape.d_model

    def cost(self, n_tokens: int) -> float:
        return n_tokens * sum(Pace(self._model).block_cost)

    def run(self, pace: Pace, runs: Runs, rows: Rows) -> Steps[Float[Tensor, "row pos d_model"]]:
        model, n = self._model, runs.blocks.n_tokens
        kept = np.asarray(rows.kept.any(2))
        at = torch.tensor(rows.pairs, device=model.device)
        inside = torch.tensor(kept[:, 0], device=model.device)[:, None, None]
        both = runs.embedded[:, at]
        hidden = torch.where(inside, both[CLEAN], both[CORRUPTED])
        everywhere = tuple(range(n))

        @lru_cache(None)
        def changed(point: str, layer: int, pair: int, index: tuple[int, ...] | None) -> Edit:
            value = runs.captured[point, layer][CORRUPTED][pair]
            return Edit(point, layer, index, everywhere,
                        value if index is None else value[:, list(index)])  # fmt: skip

        for layer in range(model.shape.n_layers):
            out = torch.empty_like(hidden)

            def work(
                start: int, stop: int, layer: int = layer, hidden: Tensor = hidden,
                out: Tensor = out,
            ) -> None:  # fmt: skip
                wanted: dict[tuple[str, int], list[tuple[int, Edit]]] = {}
                for row in range(start, stop):
                    pair = int(rows.pairs[row])
                    gone = [h for h, i in enumerate(self._heads.get(layer, ())) if not kept[row, i]]
                    if gone:
                        one = changed("z", layer, pair, tuple(gone))
                        wanted.setdefault(("z", layer), []).append((row - start, one))
                    if layer in self._mlps and not kept[row, self._mlps[layer]]:
                        one = changed("mlp_out", layer, pair, None)
                        wanted.setdefault(("mlp_out", layer), []).append((row - start, one))
                out[start:stop] = runs.blocks.call(layer, hidden[start:stop], wanted)

            cost = n * pace.block_cost[layer]
            yield from pace.steps(len(hidden), cost, self.nbytes(n), work)
            hidden = out
        check_numbers(model, hidden, "run circuits")
        return hidden


def rows_of(pairs: Sequence[int], kept: Sequence[np.ndarray]) -> Rows:
    """Each of these circuits of each of these pairs, circuit by circuit."""
    each = np.stack(kept)
    return Rows(np.tile(np.array(pairs), len(kept)), each.repeat(len(pairs), axis=0))
