"""Tokens in order of their logits: the highest first, equal ones by id."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_FEW = 64
"""The ranks of so many ids are counted faster than the whole vocabulary is ordered."""

_GROUP = 16
"""Ids of which only the highest is looked at first."""

_GROUPS = 256
"""Groups looked into where nobody says how many."""


class Front:
    """Where the highest of logits [rows d_vocab] are, looked for once for `best` and `ranks`.

    Every id is in a group of _GROUP. The groups with the highest maxima hold all that is above the
    lowest of these maxima; what is not is looked for among all. `n`: how many groups.
    """

    def __init__(self, logits: Tensor, n: int = _GROUPS) -> None:
        self._all, self._n = logits, n
        self._width = logits.shape[-1] // _GROUP
        self._groups: Tensor | None = None
        self._values, self._least = logits, logits.new_full((len(logits), 1), -torch.inf)
        if self._width <= 4 * n:
            return
        grouped = logits[:, : self._width * _GROUP].unflatten(1, (_GROUP, self._width))
        maxima, self._groups = grouped.amax(1).topk(n, sorted=False)
        chosen = grouped.gather(2, self._groups[:, None].expand(-1, _GROUP, -1))
        rest = logits[:, self._width * _GROUP :]
        self._values = torch.cat([chosen.flatten(1), rest], 1)
        self._least = maxima.amin(-1, keepdim=True)

    def best(self, k: int) -> Tensor:
        """The ids [rows k] of the k highest, best first, equal ones by id."""
        if k >= self._n or 4 * k > self._all.shape[-1]:
            return best(self._all, k)
        values, places = self._values.topk(k + 1)
        # as high as the last one in, and topk takes any of them
        tied = (values[:, -1] == values[:, -2]).nonzero()[:, 0]
        values, ids = values[:, :k], self._ids(places[:, :k])
        order = torch.argsort(ids, dim=-1)
        values, ids = values.gather(1, order), ids.gather(1, order)
        result = ids.gather(1, torch.argsort(values, dim=-1, descending=True, stable=True))
        if len(tied):
            result[tied] = torch.sort(self._all[tied], descending=True, stable=True).indices[:, :k]
        return result

    def _ids(self, places: Tensor) -> Tensor:
        """The ids of what stands at some places of the front, [rows n]."""
        if self._groups is None:
            return places
        group = self._groups.gather(1, places % self._n)
        behind = places + (self._width - self._n) * _GROUP
        grouped = places < self._n * _GROUP
        return torch.where(grouped, places // self._n * self._width + group, behind)

    def ranks(self, rows: Tensor, ids: Tensor) -> Tensor:
        """The ranks [some n] of ids [some n] in rows [some]; 1 is the highest, equal ones by id."""
        if ids.shape[-1] > _FEW:
            return ranks(self._all[rows], ids)
        own = self._all[rows[:, None], ids]
        values, least = self._values[rows], self._least[rows]
        above, not_below = (
            torch.stack([count(compare, values, one[:, None]) for one in own.T], 1)
            for compare in (torch.gt, torch.ge)
        )
        result = above + 1
        unsure = ((own <= least) | (not_below > result)).nonzero()
        for some in unsure.split(_FEW):
            at, n = some.T
            result[at, n] = ranks(self._all[rows[at]], ids[at, n, None])[:, 0]
        return result


def best(logits: Tensor, k: int | None) -> Tensor:
    """The ids [rows k] of the k highest of logits [rows d_vocab], best first; all if k is None."""
    if k is None or 4 * k > logits.shape[-1]:
        return torch.sort(logits, descending=True, stable=True).indices[:, :k]
    return Front(logits, k + 1).best(k)


def highest(logits: Tensor) -> Tensor:
    """The id [rows] of the highest of logits [rows d_vocab]."""
    n = logits.shape[-1]
    every = torch.arange(n, device=logits.device)
    return torch.where(logits == logits.amax(-1, keepdim=True), every, n - 1).amin(-1)


def ranks(logits: Tensor, ids: Tensor) -> Tensor:
    """The ranks [rows n] of ids [rows n] among logits [rows d_vocab]; 1 is the highest."""
    n = logits.shape[-1]
    if ids.shape[-1] > _FEW:
        places = torch.arange(1, n + 1, device=logits.device).expand_as(logits)
        return torch.empty_like(places).scatter(1, best(logits, None), places).gather(1, ids)
    every, own = logits[:, None], logits.gather(1, ids)[:, :, None]
    result = count(torch.gt, every, own) + 1
    if (count(torch.ge, every, own) > result).any():
        lower = torch.arange(n, device=logits.device) < ids[:, :, None]
        result = result + ((every == own) & lower).sum(-1)
    return result


def count(compare: Callable[..., Tensor], one: Tensor, other: Tensor) -> Tensor:
    """How often a comparison holds along the last axis, at most 2^24 times: written as floats, that
    a CPU adds up several times faster than truth values."""
    shape = torch.broadcast_shapes(one.shape, other.shape)
    holds = torch.empty(shape, dtype=torch.float32, device=one.device)
    return compare(one, other, out=holds).sum(-1).long()
