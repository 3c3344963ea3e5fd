"""What tests of passes share."""

from __future__ import annotations

import functools
from typing import Any

import pytest

import engine
from tests.support.family_reference import FamilyReference
from tests.support.tiny_models import Tiny


@pytest.fixture(scope="module")
def pair(tiny: Tiny) -> Any:
    """`pair("gpt2")`: a tiny model whose texts never end by themselves, and its reference."""

    @functools.cache
    def give(kind: str) -> tuple[str, FamilyReference]:
        directory = tiny(kind, eos_token_id=None)
        engine.load(str(directory))
        return str(directory), FamilyReference(kind, directory)

    return give
