"""The numbers in a lens' cells, from the logits of one layer. Knows tensors, but no model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..passes.ordering import best, count, ranks

TOP = 128
"""Of each layer, how many tokens are sorted: the ranks of nearly all that rise later are there."""

Cells = dict[str, Tensor]
"""What is shown of one layer in one run, by the names of LensRun's fields, [pos ...] each; of the
tokens followed `logits 0`, `log_probs 0` and `ranks 0` for the first, and so on."""


class Logits:
    """A layer's logits [pos d_vocab], their best sorted when first asked for."""

    def __init__(self, logits: Tensor) -> None:
        self.all = logits

    def log_probs(self) -> Tensor:
        """Natural logarithms [pos d_vocab], finite where a logit is −inf: 0 times it is 0."""
        return self.all.log_softmax(-1).clamp_(min=-1e9)

    @cached_property
    def top(self) -> tuple[Tensor, Tensor]:
        """The highest logits and their ids, [pos top] each."""
        ids = best(self.all, TOP)
        return self.all.gather(1, ids), ids

    def ranks(self, ids: Tensor) -> Tensor:
        """Ranks [pos n] of ids [pos n]; 1 is best, equal logits by id."""
        top, top_ids = self.top
        own = self.all.gather(1, ids)
        same = (top[:, None] == own[..., None]) & (top_ids[:, None] < ids[..., None])
        found = ((top[:, None] > own[..., None]) | same).sum(-1) + 1
        unsure = (own <= top[:, -1:]).nonzero()
        for some in unsure.split(len(self.all)):  # no more memory than all logits take
            pos, n = some.T
            found[pos, n] = ranks(self.all[pos], ids[pos, n, None])[:, 0]
        return found

    def ranks_of(self, token: int) -> Tensor:
        """The rank [pos] of one id; equal logits by id."""
        own = self.all[:, token, None]
        before, after = self.all[:, :token], self.all[:, token:]
        return count(torch.ge, before, own) + count(torch.gt, after, own) + 1


@dataclass(frozen=True)
class Output:
    """What a run ends in: its probabilities [pos d_vocab] and their negative entropy [pos]."""

    probs: Tensor
    negative_entropy: Tensor

    @classmethod
    def of(cls, logits: Logits) -> Output:
        """The output of a run's last logits."""
        log_probs = logits.log_probs()
        probs = log_probs.exp()
        return cls(probs, torch.linalg.vecdot(probs, log_probs))

    def divergence(self, log_probs: Tensor) -> Tensor:
        """KL(output ‖ other) in nats, [pos], from the other's log-probabilities [pos d_vocab]."""
        cross = torch.linalg.vecdot(self.probs, log_probs)
        return (self.negative_entropy - cross).clamp(min=0)


def cells(
    logits: Logits,
    log_probs: Tensor,
    k: int,
    followed: tuple[int | None, ...],
    before: Logits | None,
) -> Cells:
    """What is shown of a layer's logits but the divergence.

    `log_probs`: those of the logits. `before`: the layer above, against which tokens rise; None in
    the first.
    """
    ids = best(logits.all, k) if k > TOP else logits.top[1][:, :k]
    places = torch.arange(1, k + 1, device=ids.device)
    found = {
        "ids": ids,
        "log_probs": log_probs.gather(1, ids),
        "moves": torch.zeros_like(ids) if before is None else before.ranks(ids) - places,
        "entropy": -torch.linalg.vecdot(logits.all.softmax(-1), log_probs),
    }
    found["probs"] = found["log_probs"].exp()
    for t, token in enumerate(followed):
        if token is not None:
            found[f"logits {t}"] = logits.all[:, token].clone()
            found[f"log_probs {t}"] = log_probs[:, token].clone()
            found[f"ranks {t}"] = logits.ranks_of(token)
    return found
