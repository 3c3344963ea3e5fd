"""The view that docs/adding-a-view.md adds, added to a copy of the checkout: it works, and nothing
of the house but the door is touched."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SHARED
from tests.test_architecture import ROOT

DOOR = "engine/__init__.py"
_FENCED = re.compile(r"^```(?:python|diff) (\S+)\n(.*?)^```$", re.M | re.S)
WRITTEN = dict(_FENCED.findall((ROOT / "docs" / "adding-a-view.md").read_text("utf-8")))
"""What the page has written, by path: whole files, and of the door the lines added."""
(PAGE,) = (path.stem for path in map(Path, WRITTEN) if path.parts[:-1] == ("pages",))
(ROOM,) = {Path(path).parts[1] for path in WRITTEN if path.startswith("engine/")} - {"__init__.py"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout with the view in it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    house = tmp_path_factory.mktemp("house")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (house / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, house / name)
    for path, text in WRITTEN.items():
        (house / path).parent.mkdir(parents=True, exist_ok=True)
        (house / path).write_text(opened(text) if path == DOOR else text, "utf-8")
    return house


def opened(added: str) -> str:
    """The door with these lines added: imports before its first, names before its first name."""
    lines = [line.removeprefix("+") + "\n" for line in added.splitlines()]
    imports = "".join(line for line in lines if line.startswith("from "))
    names = "".join(line for line in lines if not line.startswith("from "))
    door = (ROOT / DOOR).read_text("utf-8")
    door = door.replace("from .", f"{imports}from .", 1)
    return door.replace("__all__ = [\n", f"__all__ = [\n{names}", 1)


def run(house: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=house,
        env={**os.environ, "SWITCHBOARD_SHARED": str(SHARED)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def test_it_is_a_room_a_page_and_their_tests_and_lines_added_to_the_door() -> None:
    own = (f"engine/{ROOM}/", f"pages/{PAGE}.py", f"pages/_parts/{PAGE}/", f"tests/{ROOM}/",
           f"tests/pages/test_{PAGE}.py")  # fmt: skip
    new = [path for path in WRITTEN if path != DOOR]
    assert all(path.startswith(own) for path in new)
    assert not [path for path in new if (ROOT / path).exists()]
    assert all(line.startswith("+") for line in WRITTEN[DOOR].splitlines())


def test_it_is_written_as_the_house_writes(house: Path) -> None:
    new = [path for path in WRITTEN if path != DOOR]
    run(house, "ruff", "check", "--no-cache", *new)
    run(house, "ruff", "format", "--no-cache", "--check", *new)


def test_its_own_tests_and_the_houses_pass(house: Path) -> None:
    """The latter are those of the imports, of the door and the fields, and, of those that walk all
    pages, a few on this one."""
    pages = ("fields", PAGE, "bad_input", "hybrids")
    paths = (ROOM, "test_architecture.py", "test_door.py", *(f"pages/test_{n}.py" for n in pages))
    few = f"not (bad_input or hybrids) or ({PAGE} and (site or jamba))"
    plugins = ("-n", "0", "-p", "no:cacheprovider")
    run(house, "pytest", *plugins, *(f"tests/{path}" for path in paths), "-k", few)
