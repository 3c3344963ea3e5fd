"""What the tests share: where the real models lie, hypothesis' profile, who runs which test; and
`support/fixtures.py`, where tests are run."""

from __future__ import annotations

import gc
import os
from collections import deque
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import WorkStealingScheduling

from tests.support.shapes import check_only_arrays

check_only_arrays()

BROWSER = Path(__file__).parent / "browser"
IN_CI = bool(os.environ.get("CI"))
SHARED = Path(os.environ.get("SWITCHBOARD_SHARED", Path(__file__).resolve().parents[2] / "shared"))

settings.register_profile(
    "house",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="only the fast lane (make fast)")
    parser.addoption("--note-long", action="store_true", help="note which tests take long")


def pytest_configure(config: pytest.Config) -> None:
    """Read what tests stand on; not where they are only handed out."""
    works = "PYTEST_XDIST_WORKER" in os.environ
    if works:  # each worker is one core's; torch reads this once
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    elif config.getoption("--note-long"):
        from tests.support.fast import Noting

        config.pluginmanager.register(Noting())
    if works or not config.getoption("numprocesses", None):
        gc.disable()  # all that is read stays
        config.pluginmanager.import_plugin("tests.support.fixtures")


def pytest_collection_finish() -> None:
    """From here on garbage is looked for, in what the tests make themselves."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--fast"):
        from tests.support import fast

        config.hook.pytest_deselected(items=[item for item in items if fast.left_out(item)])
        items[:] = [item for item in items if not fast.left_out(item)]
    items[:] = shared_out(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def shared_out(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """The tests in an order in which each worker's run of them, all being as long, begins with its
    share of the browser's files: one that waits for a page leaves its core to the others. Of the
    rest the families' members come first, so that most are saved and loaded by one worker alone."""
    files: dict[Path, list[pytest.Item]] = {}
    rest: deque[pytest.Item] = deque()
    for item in sorted(items, key=lambda item: "member" not in getattr(item, "fixturenames", ())):
        (files.setdefault(item.path, []) if item.path.parent == BROWSER else rest).append(item)
    order: list[pytest.Item] = []
    for worker in range(workers):
        for of_file in [*files.values()][worker::workers]:
            order += of_file
        while rest and len(order) < len(items) * (worker + 1) // workers:
            order.append(rest.popleft())
    return [*order, *rest]


def real(name: str) -> Path:
    """A model or tokenizer in ../shared/real; without it the test is left out, never in CI."""
    path = SHARED / "real" / name
    if not path.is_dir():
        if IN_CI:
            pytest.fail(f"{path} is missing; in CI nothing is left out")
        pytest.skip(f"{path} is not on this machine")
    return path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> WorkStealingScheduling:
    """Each worker has a run of tests that stand side by side, so that what those of one file share
    is made once, and takes of the other's when it has done its own."""
    return WorkStealingScheduling(config, log)
