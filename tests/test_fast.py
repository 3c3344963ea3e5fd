"""What the fast lane leaves out is what it says."""

from __future__ import annotations

import pytest

from tests.support.fast import KEPT, LONG, left_out
from tests.support.tiny_models import CONFIGS
from tests.test_architecture import ROOT


def test_everything_left_out_by_name_is_there() -> None:
    assert [name for name in LONG if not (ROOT / "tests" / name).exists()] == []
    assert set(CONFIGS) >= KEPT


@pytest.mark.parametrize("kind", CONFIGS)
def test_two_families_stay_in_the_lane(kind: str, request: pytest.FixtureRequest) -> None:
    assert left_out(request.node) == (kind not in KEPT)
