"""What is installed: written from pyproject.toml, and locked at versions it allows."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import lock

ROOT = Path(__file__).resolve().parents[1]
LINUX = {"python_version": "3.11", "python_full_version": "3.11.9", "sys_platform": "linux",
         "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"}  # fmt: skip


def versions() -> dict[str, Version]:
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def asked() -> list[Requirement]:
    lines = "".join(lock.asked().values()).splitlines()
    return [Requirement(line) for line in lines if line[0] not in "#-"]


def on_linux(one: Requirement, extras: set[str]) -> bool:
    """Whether a library needs another where the lock was made, with what was asked of it."""
    return one.marker is None or any(
        one.marker.evaluate({**LINUX, "extra": extra}) for extra in extras or {""}
    )


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_the_requirements_say_what_pyproject_says(name: str) -> None:
    assert (ROOT / name).read_text("utf-8") == lock.asked()[name], "run `make lock`"


def test_the_lock_has_an_allowed_version_of_everything_that_is_needed() -> None:
    locked, ways = versions(), asked()
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        name = canonicalize_name(way.name)
        assert name in locked, f"{way} is not in requirements.lock; run `make lock`"
        assert locked[name] in way.specifier, f"{way} is locked at {locked[name]}; run `make lock`"
        if name in seen or name == "torch":  # whose builds need different things
            continue
        seen.add(name)
        found = importlib.metadata.distribution(name)
        if Version(found.version) == locked[name]:
            needed = map(Requirement, found.requires or ())
            ways += [one for one in needed if on_linux(one, way.extras)]
    assert len(seen) > len(asked())


def test_the_lock_allows_every_build_of_its_torch() -> None:
    torch = {"metadata": {"name": "torch", "version": "2.13.0+cu130"}}
    others = [{"metadata": {"name": n, "version": "1"}} for n in ("b_c", "A", "a2")]
    text = lock.locked({"install": [torch, *others]})
    assert text == f"{lock.NOTE}a==1\na2==1\nb-c==1\ntorch==2.13.0\n"
    (line,) = re.findall(r"^torch==.*$", (ROOT / "requirements.lock").read_text("utf-8"), re.M)
    for build in ("", "+cpu", "+cu130"):
        assert Version(f"{versions()['torch']}{build}") in Requirement(line).specifier
