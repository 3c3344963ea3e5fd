"""What tests are given: models on disk, the wheel installed, a place apart for what is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

for library in ("streamlit", "transformer_lens.model_bridge", "transformers.modeling_utils"):
    import_module(library)  # else a module of the engine, which is checked, has it compiled anew

from engine.model import model
from tests.support import wheel
from tests.support.families import save_member
from tests.support.tiny_models import Tiny, save_model

model.HANDS = 2  # whatever the machine has, so that rows are shared out wherever tests run


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
