"""What `make fast` leaves to `make test`: what needs a browser, what takes long, most families."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from tests.support.families import MEMBERS
from tests.support.tiny_models import CONFIGS

NOTED = Path(__file__).with_name("long.txt")
"""The tests that take long, a line each, written by `pytest -n 2 --note-long`."""
LONG = frozenset(NOTED.read_text("utf-8").split())
A_CASE, IN_ALL = 0.3, 5.0
"""Seconds from which on a test takes long: one case of it with what it sets up, all being as long,
or all together."""
KEPT = {"gpt2", "llama"}
"""Of tests made for every family, those of these stay."""


def left_out(item: pytest.Item) -> bool:
    """Whether a test is not of the fast lane."""
    if item.nodeid.startswith("tests/browser/") or _test_of(item.nodeid) in LONG:
        return True
    called = getattr(item, "callspec", None)
    given = {one for one in called.params.values() if isinstance(one, str)} if called else set()
    return bool(given & ({*CONFIGS, *MEMBERS} - KEPT))


def _test_of(nodeid: str) -> str:
    """A test without its case."""
    return nodeid.partition("[")[0]


class Noting:
    """A plugin that notes which of the tests that ran take long; of the others what was noted."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, defaultdict[str, float]] = defaultdict(
            lambda: defaultdict(float)
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[_test_of(report.nodeid)][report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        ran = {
            test: (sum(cases.values()), len(cases))
            for test, cases in self.seconds.items()
            if not test.startswith("tests/browser/")
        }
        long = {test for test, (total, n) in ran.items() if total >= min(IN_ALL, A_CASE * n)}
        long |= LONG - {*ran}
        NOTED.write_text("".join(f"{test}\n" for test in sorted(long)), "utf-8")
