"""What the tests share: where the real models lie, tiny models on disk, hypothesis' profile."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # each worker is one core's; torch reads this once
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import WorkStealingScheduling

from tests.support.shapes import check_only_arrays

check_only_arrays()

for library in ("streamlit", "transformer_lens.model_bridge", "transformers.modeling_utils"):
    import_module(library)  # else a module of the engine, which is checked, has it compiled anew

from engine.model import model
from tests.support import fast, wheel
from tests.support.families import save_member
from tests.support.tiny_models import Tiny, save_model

model.HANDS = 2  # whatever the machine has, so that rows are shared out wherever tests run

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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--fast"):
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


@pytest.fixture(autouse=True, scope="session")
def kept_apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is kept on this machine, by the tests and the servers they start, lies apart."""
    with pytest.MonkeyPatch.context() as patch:
        for what in ("SEARCHES", "SAES", "VECTORS"):
            patch.setenv(f"SWITCHBOARD_{what}", str(tmp_path_factory.mktemp(what.lower())))
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A tiny random model of an architecture: `tiny("gpt2")` gives its directory."""
    made: dict[tuple, Path] = {}

    def give(kind: str, **changes: object) -> Path:
        key = (kind, *sorted(changes.items()))
        if key not in made:
            made[key] = save_model(kind, tmp_path_factory.mktemp(kind), **changes)
        return made[key]

    return give


@pytest.fixture(scope="session")
def member(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A member of the matrix of families: `member("gpt2")` gives its directory."""

    @cache
    def give(name: str) -> Path:
        return save_member(name, tmp_path_factory.mktemp("member"))

    return give


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> wheel.Installed:
    """The wheel in an environment where nothing of the checkout can be imported."""
    return wheel.install(tmp_path_factory.mktemp("installed"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> WorkStealingScheduling:
    """Each worker has a run of tests that stand side by side, so that what those of one file share
    is made once, and takes of the other's when it has done its own."""
    return WorkStealingScheduling(config, log)
