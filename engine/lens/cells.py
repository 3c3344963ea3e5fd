"""The numbers in a lens' cells, from the logits of its layers. Knows tensors, but no model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ..passes.ordering import Front

Cells = dict[str, Tensor]
"""What is shown of the layers of one run, by the names of LensRun's fields, [layer pos ...] each;
of the tokens followed `logits 0`, `log_probs 0` and `ranks 0` for the first, and so on."""


@dataclass(frozen=True)
class Rows:
    """Where, among the logits of many layers, those of one run are: of its layers, in ascending
    order, and of what it ends in. The first `known` layers are known but for the divergence."""

    layers: list[int]
    end: int
    known: int = 0


class Scratch:
    """Memory used anew for each part of a lens: a system that lends tens of megabytes page by page
    takes longer than what is done in them."""

    def __init__(self) -> None:
        self._logits = self._three = torch.empty(0)

    def logits(self, n: int, d_vocab: int, like: Tensor) -> Tensor:
        """Room [at least n, d_vocab] for a part's logits, until those of the next."""
        if len(self._logits) < n:
            self._logits = like.new_empty(n, d_vocab, dtype=torch.float32)
        return self._logits

    def three(self, logits: Tensor) -> Tensor:
        """Room [3 pos d_vocab] for what is worked out of a layer's, until those of the next."""
        if self._three.shape[1:] != logits.shape:
            self._three = logits.new_empty(3, *logits.shape)
        return self._three


class Distribution:
    """The probabilities that logits [pos d_vocab] stand for, written into scratch memory: to be
    read before the next are.

    `highest`: the highest logit of each position, [pos]. `below`: logits less that, [pos d_vocab],
    finite also where a logit is −inf. `weights`: e to the power of these. `total`: the sum of the
    weights, [pos].
    """

    def __init__(self, logits: Tensor, highest: Tensor, scratch: Scratch) -> None:
        self.logits = logits
        below, weights, self._spare = scratch.three(logits)
        self.below = torch.sub(logits, highest[:, None], out=below).clamp_(min=-1e9)
        self.weights = torch.exp(self.below, out=weights)
        self.total = self.weights.sum(-1)

    def entropy(self) -> Tensor:
        """In nats, [pos]."""
        return self.total.log() - torch.linalg.vecdot(self.weights, self.below) / self.total

    def rank(self, token: int) -> Tensor:
        """The rank [pos] of one id; equal logits by id."""
        own = self.logits[:, token, None]
        torch.ge(self.logits[:, :token], own, out=self._spare[:, :token])
        torch.gt(self.logits[:, token:], own, out=self._spare[:, token:])
        return self._spare.sum(-1).long() + 1


@dataclass(frozen=True)
class Output:
    """What a run ends in: its probabilities [pos d_vocab] and their entropy [pos]."""

    probs: Tensor
    entropy: Tensor

    @classmethod
    def of(cls, end: Distribution) -> Output:
        return cls(end.weights / end.total[:, None], end.entropy())

    def divergence(self, other: Distribution) -> Tensor:
        """KL(output ‖ other) in nats, [pos]."""
        cross = torch.linalg.vecdot(self.probs, other.below) - other.total.log()
        return (-self.entropy - cross).clamp(min=0)


def cells(
    logits: Tensor, runs: list[Rows], k: int, followed: tuple[int | None, ...], scratch: Scratch
) -> list[Cells]:
    """What is shown of each run: of the layers known already, the divergence alone.

    `logits`: [n pos d_vocab] of the layers of all runs and their ends; layers that runs share are
    worked out once. Tokens rise against the layer before in their run.
    """
    n, pos, _ = logits.shape
    front = Front(logits.flatten(0, 1))
    highest = logits.amax(-1)
    outputs = [Output.of(Distribution(logits[r.end], highest[r.end], scratch)) for r in runs]
    new = {i for run in runs for i in run.layers[run.known :]}
    entropies, totals = highest.new_zeros(n, pos), highest.new_zeros(n, pos)
    ranks = highest.new_zeros(len(followed), n, pos, dtype=torch.long)
    divergences = highest.new_zeros(len(runs), n, pos)
    for i in sorted({i for run in runs for i in run.layers}):
        here = Distribution(logits[i], highest[i], scratch)
        for r, run in enumerate(runs):
            if i in run.layers:
                divergences[r, i] = outputs[r].divergence(here)
        if i in new:
            totals[i], entropies[i] = here.total, here.entropy()
            for t, token in enumerate(followed):
                if token is not None:
                    ranks[t, i] = here.rank(token)
    ids = front.best(k).unflatten(0, (n, pos))
    normalizer = (highest + totals.log())[..., None]
    log_probs = logits.gather(2, ids).sub_(normalizer).clamp_(min=-1e9)
    every = {
        "ids": ids,
        "log_probs": log_probs,
        "probs": log_probs.exp(),
        "moves": _moves(front, ids, runs),
        "entropy": entropies,
    }
    for t, token in enumerate(followed):
        if token is not None:
            every[f"logits {t}"] = logits[..., token].clone()
            every[f"log_probs {t}"] = (logits[..., token, None] - normalizer)[..., 0].clamp_(-1e9)
            every[f"ranks {t}"] = ranks[t]
    return [
        {name: value[run.layers[run.known :]] for name, value in every.items()}
        | {"divergence": divergences[r, run.layers]}
        for r, run in enumerate(runs)
    ]


def _moves(front: Front, ids: Tensor, runs: list[Rows]) -> Tensor:
    """How many places each of ids [n pos k] stands higher than in the layer before; 0 in the first
    of a run, and in those known."""
    _, pos, k = ids.shape
    moves = torch.zeros_like(ids)
    before = {i: j for run in runs for j, i in pairwise(run.layers[max(0, run.known - 1) :])}
    if before:
        above = torch.tensor(list(before.values()), device=ids.device)
        rows = above[:, None] * pos + torch.arange(pos, device=ids.device)
        ranks = front.ranks(rows.flatten(), ids[list(before)].flatten(0, 1))
        places = torch.arange(1, k + 1, device=ids.device)
        moves[list(before)] = (ranks - places).unflatten(0, (len(before), pos))
    return moves
