"""The worker: urgent work first, the newest question of a view, cancel, and nothing lost."""

import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import engine
from engine import registry
from engine.model import worker as worker_module
from engine.model.worker import SWEEP, Worker
from tests.support.tiny_models import Tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def worker() -> Iterator[Any]:
    one = Worker("test")
    yield one
    one.close()


def steps(log: Any, name: str, n: Any, gate: Any = None) -> Generator[float, None, str]:
    for i in range(n):
        if gate is not None:
            gate.wait(5)
        log.append(f"{name}{i}")
        yield (i + 1) / n
    return name


def test_urgent_work_runs_between_the_steps_of_a_sweep(worker: Any) -> None:
    log: list[str] = []
    gate = threading.Event()
    sweep = worker.submit(steps(log, "sweep", 4, gate), priority=SWEEP)
    toggle = worker.submit(steps(log, "toggle", 1))
    gate.set()
    assert (toggle.result(5), sweep.result(5)) == ("toggle", "sweep")
    assert log.index("toggle0") <= 1
    assert sweep.progress == 1.0


def test_a_view_that_asks_twice_does_not_wait_behind_long_work_for_the_second(
    worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "_NEXT", 60.0)
    log: list[str] = []
    gate = threading.Event()
    first = worker.submit(steps(log, "first", 1, gate))
    sweep = worker.submit(steps(log, "sweep", 2), priority=SWEEP)
    gate.set()
    assert first.result(5) == "first"
    assert worker.submit(steps(log, "second", 1)).result(5) == "second"
    assert log == ["first0", "second0"] and not sweep.done
    worker.close(5)  # which waits for no question
    with pytest.raises(engine.Cancelled):
        sweep.result(5)


def test_a_new_request_of_a_view_replaces_its_old_one(worker: Any) -> None:
    log: list[str] = []
    gate = threading.Event()
    worker.submit(steps(log, "first", 1, gate))
    old = worker.submit(steps(log, "old", 1), view="page")
    new = worker.submit(steps(log, "new", 1), view="page")
    gate.set()
    assert new.result(5) == "new"
    with pytest.raises(engine.Cancelled):
        old.result(5)
    assert "old0" not in log


def test_cancel_stops_between_steps(worker: Any) -> None:
    log: list[str] = []
    gate = threading.Event()
    job = worker.submit(steps(log, "sweep", 1000, gate), priority=SWEEP)
    job.cancel()
    gate.set()
    with pytest.raises(engine.Cancelled):
        job.result(5)
    assert len(log) < 1000


def test_an_error_reaches_the_one_who_waits_and_the_worker_goes_on(worker: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        worker.run(lambda: 1 / 0)
    assert worker.run(lambda: 2) == 2


def test_gradients_are_off_and_the_thread_is_the_workers_own(worker: Any) -> None:
    assert worker.run(torch.is_grad_enabled) is False
    assert worker.run(lambda: worker.is_current) and not worker.is_current


def test_closing_cancels_what_waits() -> None:
    log: list[str] = []
    worker, gate = Worker("test"), threading.Event()
    running: Any = worker.submit(steps(log, "a", 3, gate))
    waiting: Any = worker.submit(steps(log, "b", 1))
    gate.set()
    worker.close()
    with pytest.raises(engine.Cancelled):
        waiting.result(5)
    assert running.done
    with pytest.raises(engine.Cancelled):
        worker.submit(steps(log, "c", 1))


def test_releasing_a_model_lets_its_memory_go(tiny: Tiny) -> None:
    directory = str(tiny("gpt2"))
    kept = weakref.ref(registry.load(directory).hf)
    engine.next_token(engine.Experiment(directory, "t1 t2", ablations="0.1"))
    engine.release(directory)
    gc.collect()
    assert kept() is None
    assert directory not in {m.name for m in engine.models()}


BUSY = """
import time, torch
from engine.model.worker import Worker

def steps():
    a = torch.rand(1500, 1500)
    while True:
        a @ a
        yield 0.0

Worker("busy").submit(steps())
time.sleep(0.2)
"""


def test_a_script_may_end_while_work_goes_on() -> None:
    ended = subprocess.run([sys.executable, "-c", BUSY], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
