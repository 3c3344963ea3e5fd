"""What `make fast` leaves to `make test`: what needs a browser, long runs, and most families."""

from __future__ import annotations

import pytest

from tests.support.families import MEMBERS
from tests.support.tiny_models import CONFIGS

LONG = (
    "browser/",
    "circuits/test_references.py",
    "features/test_transcoder_gradients.py",
    "model/test_bundled_models.py",
    "model/test_catalogue.py",
    "pages/test_addresses.py",
    "pages/test_bad_input.py",
    "pages/test_circuit_search.py",
    "pages/test_circuits.py",
    "pages/test_generate.py",
    "pages/test_hybrids.py",
    "pages/test_tokenizer.py",
    "passes/test_alone.py",
    "passes/test_smollm2.py",
    "search/test_saved.py",
    "search/test_search.py",
    "test_adding_a_view.py",
    "test_installed.py",
    "text/test_stand_ins.py",
    "training/",
)
"""Folders and files of tests/: each starts a server, or takes more than 10 seconds of a core."""

KEPT = {"gpt2", "llama"}
"""Of tests made for every family, those of these stay."""


def left_out(item: pytest.Item) -> bool:
    """Whether a test is not of the fast lane."""
    if item.nodeid.removeprefix("tests/").startswith(LONG):
        return True
    called = getattr(item, "callspec", None)
    given = {one for one in called.params.values() if isinstance(one, str)} if called else set()
    return bool(given & ({*CONFIGS, *MEMBERS} - KEPT))
