"""The highest of many logits, and their ranks, are those of a full sort."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from engine.passes import ordering
from engine.passes.ordering import Front, best, ranks
from tests.support.noting import noting


def cases(d_vocab: int) -> Any:
    torch.manual_seed(d_vocab)
    logits = torch.randn(6, d_vocab)
    rising = -logits.abs().sort(-1).values
    holes = logits.masked_fill(torch.rand(6, d_vocab) < 0.9999, -torch.inf)
    return logits, rising, rising.flip(-1), (1000 * logits).round() / 1000, 0 * logits, holes


@pytest.mark.parametrize("d_vocab", [50_257, 8_200, 40_000])
@pytest.mark.parametrize("k", [1, 6, 128, 300])
def test_the_best_of_many_are_those_of_a_full_sort(d_vocab: int, k: int) -> None:
    for logits in cases(d_vocab):
        meant = torch.sort(logits, descending=True, stable=True).indices[:, :k]
        assert (best(logits, k) == meant).all()
        assert (Front(logits).best(k) == meant).all()


@pytest.mark.parametrize("d_vocab", [50_257, 8_200, 40])
@pytest.mark.parametrize("n", [2, 256])
def test_the_ranks_of_a_front_are_those_of_a_full_sort(d_vocab: int, n: int) -> None:
    for logits in cases(d_vocab):
        order = torch.sort(logits, descending=True, stable=True).indices
        places = torch.tensor([0, 1, 2, 9, 31, d_vocab // 2, d_vocab - 1])
        ids, meant = order[:, places], (places + 1).expand(6, -1)
        rows = torch.tensor([5, 0, 0, 3])
        assert (Front(logits, n).ranks(torch.arange(6), ids) == meant).all()
        assert (Front(logits, n).ranks(rows, ids[rows]) == meant[rows]).all()
        assert (ranks(logits, ids) == meant).all()


def test_deep_ranks_are_counted_over_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr(ordering, "ranks", noting(counted, lambda some, _: len(some), ranks))
    logits = torch.randn(3, 400, generator=torch.Generator().manual_seed(0))
    ids = torch.arange(60).expand(3, -1)
    assert (Front(logits, 2).ranks(torch.arange(3), ids) == ranks(logits, ids)).all()
    assert 0 < max(counted) <= 64 < sum(counted)
