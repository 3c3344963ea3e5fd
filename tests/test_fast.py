"""What the fast lane leaves out is what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import fast
from tests.support.fast import A_CASE, IN_ALL, KEPT, LONG, Noting, left_out
from tests.support.tiny_models import CONFIGS
from tests.test_architecture import ROOT


def test_every_test_noted_as_long_is_there() -> None:
    for noted in LONG:
        file, name = noted.split("::")
        assert f"\ndef {name}(" in (ROOT / file).read_text("utf-8"), noted
    assert set(CONFIGS) >= KEPT


@pytest.mark.parametrize("kind", CONFIGS)
def test_two_families_stay_in_the_lane(kind: str, request: pytest.FixtureRequest) -> None:
    assert left_out(request.node) == (kind not in KEPT)


def test_those_are_noted_whose_cases_take_long_and_of_what_did_not_run_what_was_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "NOTED", tmp_path / "long.txt")
    monkeypatch.setattr(fast, "LONG", frozenset({"tests/a.py::test_before", "tests/a.py::test_x"}))
    noting = Noting()
    for test, seconds in {
        "tests/a.py::test_x[1]": [0.0, A_CASE / 2, 0.0],
        "tests/a.py::test_y[a[0]]": [A_CASE, A_CASE, A_CASE],
        "tests/a.py::test_y[b]": [0.0, 0.1, 0.0],
        **{f"tests/a.py::test_z[{i}]": [0.0, IN_ALL / 100, 0.0] for i in range(101)},
        "tests/browser/b.py::test_z": [0.0, 100.0, 0.0],
    }.items():
        for when, duration in zip(("setup", "call", "teardown"), seconds, strict=True):
            noting.pytest_runtest_logreport(
                pytest.TestReport(test, ("", 0, ""), {}, "passed", None, when, duration=duration)  # type: ignore[arg-type]
            )
    noting.pytest_sessionfinish()
    assert fast.NOTED.read_text("utf-8") == (
        "tests/a.py::test_before\ntests/a.py::test_y\ntests/a.py::test_z\n"
    )
