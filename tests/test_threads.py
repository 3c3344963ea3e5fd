"""Small work is done by one core, large work by all, and every thread keeps its own number."""

from __future__ import annotations

import torch

import engine
from engine.model.threads import fitting


def test_a_small_pass_has_one_core_and_a_large_one_all():
    model, every = engine.load("seq-gpt2"), torch.get_num_threads()

    def cores(n_vectors: int) -> int:
        with fitting(model, n_vectors):
            return torch.get_num_threads()

    assert model.worker.run(lambda: cores(16)) == 1
    assert model.worker.run(lambda: cores(10**6)) == every
    assert model.worker.run(torch.get_num_threads) == every


def test_small_work_within_small_work_gives_nothing_back_too_early():
    model, every = engine.load("seq-gpt2"), torch.get_num_threads()
    with fitting(model, 16):
        with fitting(model, 8):
            pass
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == every
