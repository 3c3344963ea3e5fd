"""The loss of texts with neurons put to values, a block over a few of them at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ..model.model import Model
from ..model.worker import Steps
from ..passes import forward
from ..passes.blockwise import Ids, alike
from ..passes.growing import base, base_cost
from ..passes.hooks import Edit
from ..passes.pace import Pace
from ..scoring.waves import rows_at_once


def losses_cost(pace: Pace, texts: Sequence[Ids]) -> float:
    """Operations of `losses`."""
    return base_cost(pace, texts) + sum(len(ids) - 1 for ids in texts) * pace.unembedding_cost


def losses(
    model: Model,
    pace: Pace,
    texts: Sequence[Ids],
    sizes: Sequence[int],
    edits: Mapping[int, tuple[tuple[int, ...], torch.Tensor]],
) -> Steps[np.ndarray]:
    """The mean loss of each set's tokens, nats, with neurons put to values, by layer.

    `sizes`: how many of the texts, in their order, are of each set. Raises: EngineError where the
    model's numbers overflow.
    """
    owner = np.repeat(np.arange(len(sizes)), sizes)
    sums, totals = np.zeros(len(sizes)), np.zeros(len(sizes))
    for group in _together(model, texts):
        some = [texts[i] for i in group]
        everywhere = tuple(range(len(some[0])))
        made = tuple(
            Edit("post", layer, index, everywhere, values)
            for layer, (index, values) in edits.items()
        )
        run = yield from base(model, pace, some, [made] * len(some), everywhere[:-1])
        vectors = run.leaving.flatten(0, 1)
        comes = torch.tensor([ids[1:] for ids in some], device=vectors.device).flatten()
        logs = torch.empty(len(comes), device=vectors.device)

        def work(
            start: int,
            stop: int,
            vectors: torch.Tensor = vectors,
            comes: torch.Tensor = comes,
            logs: torch.Tensor = logs,
        ) -> None:
            said = forward.unembed(model, vectors[start:stop]).log_softmax(-1)
            logs[start:stop] = said.gather(1, comes[start:stop, None])[:, 0]

        nbytes = 3 * model.shape.d_vocab * 4
        yield from pace.steps(len(comes), pace.unembedding_cost, nbytes, work)
        each = logs.double().view(len(some), -1).sum(1).tolist()
        for i, own, ids in zip(group, each, some, strict=True):
            sums[owner[i]] -= own
            totals[owner[i]] += len(ids) - 1
    result: np.ndarray = sums / totals
    return result


def _together(model: Model, texts: Sequence[Ids]) -> list[list[int]]:
    """Texts, by index, in groups that share passes."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, ids in enumerate(texts):
        groups.setdefault(alike(model, ids), []).append(i)
    result = []
    for group in groups.values():
        most = max(1, rows_at_once(model, len(texts[group[0]])) // 4)  # each layer's stream is held
        result += [group[start : start + most] for start in range(0, len(group), most)]
    return result
