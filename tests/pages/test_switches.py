"""What a click does with the sites that are outlined in a tinted grid."""

from __future__ import annotations

import pytest

import engine
from pages._parts.switches import without

SHAPE = engine.load("seq-gpt2").shape
OUTLINED = engine.parse_sites("0.1 2.3 m4")


def on(ablations: engine.Ablations) -> set[engine.Site]:
    """What stays on."""
    left = engine.circuit_left(ablations, SHAPE, "left", "seq-gpt2")
    return {*left.heads, *left.mlps}


@pytest.mark.parametrize(
    "before", ["", "0.1 a5 m0", "keep", "keep 0.1 2.3 4.4", "keep+mlps 0.1 m4 m5", "keep 0.1 m4"]
)
@pytest.mark.parametrize("sites", [OUTLINED, OUTLINED[:2]])
def test_switching_off_takes_those_outlined_and_nothing_else(
    before: str, sites: tuple[engine.Site, ...]
) -> None:
    now = engine.ablations(before)
    after = without(sites, now, SHAPE)
    assert on(after) == on(now) - {*sites}
    assert after.verb == now.verb


def test_what_the_model_lacks_and_what_is_no_head_stay_named() -> None:
    after = without(OUTLINED, engine.ablations("9.9 n0.3"), SHAPE)
    assert engine.print_sites(after.sites) == "0.1 2.3 m4 n0.3 9.9"
