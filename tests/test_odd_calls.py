"""Calls as notebooks write them: taken where the meaning is plain, else refused in a sentence.

They are made in a process of their own, where types are not checked, as in use.
"""

from __future__ import annotations

import json

import pytest

from tests.support.alone import printed
from tests.support.odd_calls import REFUSED, TAKEN


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    """What came of every call."""
    ran = printed("from tests.support import odd_calls; odd_calls.main()")
    found: dict[str, str] = json.loads(ran.splitlines()[-1])
    return found


@pytest.mark.parametrize("call", TAKEN)
def test_what_is_plain_is_taken_as_it_is_meant(call: str, outcomes: dict[str, str]) -> None:
    assert outcomes[call] == "as meant"


@pytest.mark.parametrize("call", REFUSED)
def test_what_is_not_is_refused_in_a_sentence(call: str, outcomes: dict[str, str]) -> None:
    said = outcomes[call]
    assert said.startswith("refused: ") and said.endswith((".", "?")) and len(said.split()) > 4
