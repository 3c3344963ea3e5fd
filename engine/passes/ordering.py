"""Tokens in order of their logits: the highest first, equal ones by id."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_FEW = 64
"""The ranks of so many ids are counted faster than the whole vocabulary is ordered."""

_GROUP = 16
"""Ids of which only the highest is looked at first."""


def best(logits: Tensor, k: int | None) -> Tensor:
    """The ids [rows k] of the k highest of logits [rows d_vocab], best first; all if k is None."""
    if k is None or 4 * k > logits.shape[-1]:
        return torch.sort(logits, descending=True, stable=True).indices[:, :k]
    values, ids = _top(logits, k + 1)
    if (values[:, -1] == values[:, -2]).any():
        # as high as the last one in, and topk takes any of them
        return torch.sort(logits, descending=True, stable=True).indices[:, :k]
    values, ids = values[:, :k], ids[:, :k]
    order = torch.argsort(ids, dim=-1)
    values, ids = values.gather(1, order), ids.gather(1, order)
    return ids.gather(1, torch.argsort(values, dim=-1, descending=True, stable=True))


def _top(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest values and their ids [rows k], as `topk` gives them: it takes any of equals.

    Every id is in a group of _GROUP; the k highest are in the k groups with the highest maxima, or
    equal what is there.
    """
    n = logits.shape[-1] // _GROUP
    if n <= 4 * k:
        return logits.topk(k)
    grouped = logits[:, : n * _GROUP].unflatten(1, (_GROUP, n))
    groups = grouped.amax(1).topk(k, sorted=False).indices[:, None].expand(-1, _GROUP, -1)
    rest = logits[:, n * _GROUP :]
    values, places = torch.cat([grouped.gather(2, groups).flatten(1), rest], 1).topk(k)
    member, group = places // k, groups[:, 0].gather(1, places % k)
    return values, torch.where(member < _GROUP, member * n + group, places + (n - k) * _GROUP)


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
    found = count(torch.gt, every, own) + 1
    if (count(torch.ge, every, own) > found).any():
        lower = torch.arange(n, device=logits.device) < ids[:, :, None]
        found = found + ((every == own) & lower).sum(-1)
    return found


def count(compare: Callable[..., Tensor], one: Tensor, other: Tensor) -> Tensor:
    """How often a comparison holds along the last axis, at most 2^24 times: written as floats, that
    a CPU adds up several times faster than truth values."""
    shape = torch.broadcast_shapes(one.shape, other.shape)
    holds = torch.empty(shape, dtype=torch.float32, device=one.device)
    return compare(one, other, out=holds).sum(-1).long()
