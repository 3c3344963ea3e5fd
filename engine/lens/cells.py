"""The numbers in a lens' cells, from the logits of one layer. Knows tensors, but no model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..passes.ordering import Front

Cells = dict[str, Tensor]
"""What is shown of one layer in one run, by the names of LensRun's fields, [pos ...] each; of the
tokens followed `logits 0`, `log_probs 0` and `ranks 0` for the first, and so on."""


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


class Logits:
    """A layer's logits [pos d_vocab], their highest looked for when first asked for."""

    def __init__(self, logits: Tensor) -> None:
        self.all = logits

    @cached_property
    def front(self) -> Front:
        return Front(self.all)


class Distribution:
    """The probabilities that a layer's logits stand for, written into scratch memory: to be read
    before the next are.

    `below`: logits less the highest of their position, [pos d_vocab], finite also where a logit is
    −inf. `weights`: e to the power of these. `total`: the sum of the weights, [pos].
    """

    def __init__(self, logits: Logits, scratch: Scratch) -> None:
        self.logits = logits
        below, weights, self._spare = scratch.three(logits.all)
        highest = logits.all.amax(-1, keepdim=True)
        self.below = torch.sub(logits.all, highest, out=below).clamp_(min=-1e9)
        self.weights = torch.exp(self.below, out=weights)
        self.total = self.weights.sum(-1)

    def log_probs(self, ids: Tensor) -> Tensor:
        """Natural logarithms of the probabilities of ids, [pos n] each."""
        return self.below.gather(1, ids) - self.total.log()[:, None]

    def entropy(self) -> Tensor:
        """In nats, [pos]."""
        return self.total.log() - torch.linalg.vecdot(self.weights, self.below) / self.total

    def rank(self, token: int) -> Tensor:
        """The rank [pos] of one id; equal logits by id."""
        every, own = self.logits.all, self.logits.all[:, token, None]
        torch.ge(every[:, :token], own, out=self._spare[:, :token])
        torch.gt(every[:, token:], own, out=self._spare[:, token:])
        return self._spare.sum(-1).long() + 1


@dataclass(frozen=True)
class Output:
    """What a run ends in: its probabilities [pos d_vocab] and their entropy [pos]."""

    probs: Tensor
    entropy: Tensor

    @classmethod
    def of(cls, last: Distribution) -> Output:
        """The output of a run, from the distribution it ends in."""
        return cls(last.weights / last.total[:, None], last.entropy())

    def divergence(self, other: Distribution) -> Tensor:
        """KL(output ‖ other) in nats, [pos]."""
        cross = torch.linalg.vecdot(self.probs, other.below) - other.total.log()
        return (-self.entropy - cross).clamp(min=0)


def cells(
    here: Distribution, k: int, followed: tuple[int | None, ...], before: Logits | None
) -> Cells:
    """What is shown of a layer but the divergence.

    `before`: the layer above, against which tokens rise; None in the first.
    """
    logits = here.logits
    ids = logits.front.best(k)
    places = torch.arange(1, k + 1, device=ids.device)
    found = {
        "ids": ids,
        "log_probs": here.log_probs(ids),
        "moves": torch.zeros_like(ids) if before is None else before.front.ranks(ids) - places,
        "entropy": here.entropy(),
    }
    found["probs"] = found["log_probs"].exp()
    for t, token in enumerate(followed):
        if token is not None:
            one = ids.new_full((len(ids), 1), token)
            found[f"logits {t}"] = logits.all[:, token].clone()
            found[f"log_probs {t}"] = here.log_probs(one)[:, 0]
            found[f"ranks {t}"] = here.rank(token)
    return found
