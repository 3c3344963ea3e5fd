"""Small work is done by one core, large work by all, and every thread keeps its own number."""

from __future__ import annotations

import gc
import threading
import weakref
from functools import partial
from typing import Any

import pytest
import torch

import engine
from engine.model import model as models
from engine.model.threads import fitting
from tests.support.tiny_models import Tiny


def test_a_small_pass_has_one_core_and_a_large_one_all() -> None:
    model, every = engine.load("seq-gpt2"), torch.get_num_threads()

    def cores(n_vectors: int) -> int:
        with fitting(model, n_vectors):
            return torch.get_num_threads()

    assert model.worker.run(lambda: cores(16)) == 1
    assert model.worker.run(lambda: cores(10**6)) == every
    assert model.worker.run(torch.get_num_threads) == every


def test_small_work_within_small_work_gives_nothing_back_too_early() -> None:
    model, every = engine.load("seq-gpt2"), torch.get_num_threads()
    with fitting(model, 16):
        with fitting(model, 8):
            pass
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == every


def test_parts_done_together_have_a_thread_and_a_share_of_the_cores_each() -> None:
    worker, every = engine.load("seq-gpt2").worker, torch.get_num_threads()
    found, meeting = {}, threading.Barrier(3, timeout=20)

    def part() -> None:
        meeting.wait()  # they are under way at once
        found[threading.current_thread()] = torch.get_num_threads(), torch.is_grad_enabled()

    worker.run(lambda: worker.together([part] * 3))
    assert list(found.values()) == [(max(1, every // 3), False)] * 3
    assert worker.run(torch.get_num_threads) == every


def test_what_one_part_raises_is_raised_once_all_are_over() -> None:
    worker, over = engine.load("seq-gpt2").worker, []

    def fails() -> None:
        raise engine.EngineError("this one fails")

    for parts in ([fails, lambda: over.append(1)], [lambda: over.append(1), fails]):
        with pytest.raises(engine.EngineError, match="this one fails"):
            worker.run(partial(worker.together, parts))
    assert over == [1, 1]


def test_hands_have_modules_of_their_own_over_the_same_weights(tiny: Tiny) -> None:
    name = str(tiny("llama"))
    model = engine.load(name)
    first, second = model.worker.run(model.hands)
    assert first is model and model.worker.run(model.hands)[1].blocks == second.blocks
    model.tiled = frozenset({(0, "mask")})
    assert model.worker.run(model.hands)[1].tiled == model.tiled  # what changes, changes for all
    for one, other in zip(first.blocks, second.blocks, strict=True):
        assert not set(one.modules()) & set(other.modules())
        assert [p.data_ptr() for p in one.parameters()] == [
            p.data_ptr() for p in other.parameters()
        ]
        assert [*one.parameters()] and [type(m) for m in one.modules()] == [
            type(m) for m in other.modules()
        ]
    places = zip(first.structure.layers, second.structure.layers, strict=True)
    assert all(set(a.places) == set(b.places) for a, b in places)
    engine.release(name)


def test_blocks_that_cannot_be_copied_are_run_by_one_hand(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(tiny("gpt2"))
    e = engine.Experiment(name, "t1 t5 t9 t2", answer="t3", distractor="t4")
    meant = engine.sweep(e)
    engine.release(name)
    model = engine.load(name)
    tried = []

    def fails(self: Any) -> None:
        tried.append(self)
        raise TypeError("cannot pickle this")

    monkeypatch.setattr(models.Model, "_copied_structure", fails)
    model._structures.clear()
    found = engine.sweep(e)
    assert tried == [model] and model.worker.run(model.hands) == [model]
    assert abs(found.head_numbers - meant.head_numbers).max() < 1e-5
    engine.release(name)


def test_a_model_that_was_swept_leaves_no_thread_and_no_weight_behind(tiny: Tiny) -> None:
    name = str(tiny("mistral"))
    engine.sweep(engine.Experiment(name, "t1 t5 t9 t2", answer="t3", distractor="t4"))
    model = engine.load(name)
    beside = f"beside {model.name}"
    assert len(model.hands()) == 2
    assert any(thread.name.startswith(beside) for thread in threading.enumerate())
    weights = [weakref.ref(p) for p in model.hf.parameters()]
    del model
    engine.release(name)
    gc.collect()
    assert not any(thread.name.startswith(beside) for thread in threading.enumerate())
    assert not any(weight() is not None for weight in weights)
