"""The house's promises, read from its imports."""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import engine

ROOT = Path(__file__).resolve().parent.parent
ENGINE = sorted((ROOT / "engine").rglob("*.py"))
GROUND = (
    "errors", "experiment", "showing", "text", "model", "saved", "passes", "trials", "registry",
    "picking", "asking", "captures", "parameters",
)  # fmt: skip
"""The rooms that all others of the engine may stand on, each built on those before it alone."""
PAGES = [ROOT / "app.py", ROOT / "serve.py", *sorted((ROOT / "pages").rglob("*.py"))]
WITHOUT_TORCH = re.compile(
    r"(errors|experiment/.*|showing/.*|circuits/.*|text/(tokens|surprises)|scoring/metrics|tasks/(?!scores).*"
    r"|model/(checkpoints|hub|store)|paths/(receivers|edges)|heads/(scores|thumbnails)"
    r"|search/(search|strategies|saved|arrays)|.*/(results|.*figures|tables))\.py"
)
MOST_LINES = 300


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            head = "." * node.level + (node.module or "")
            found |= {f"{head}.{a.name}" if head.strip(".") == "" else head for a in node.names}
    return found


def uses(path: Path) -> set[Path]:
    """The engine's own modules that a module of it imports."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            found |= {folder.with_suffix(".py"), *(folder / f"{a.name}.py" for a in node.names)}
    return found & set(ENGINE)


def place(path: Path) -> str:
    return path.relative_to(ROOT / "engine").as_posix()


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_pages_use_only_the_door(path: Any) -> None:
    for name in imports(path):
        assert not name.startswith("engine."), f"{path.name} goes past the door: {name}"
        assert name.split(".")[0] not in ("torch", "transformers", "transformer_lens"), name
    tree = ast.parse(path.read_text("utf-8"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "engine"
    }
    assert used <= set(engine.__all__)


@pytest.mark.parametrize("path", sorted((ROOT / "pages").glob("*.py")), ids=str)
def test_a_page_defines_no_class(path: Any) -> None:
    assert not [
        n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.ClassDef)
    ]


@pytest.mark.parametrize("path", ENGINE, ids=place)
def test_the_engine_knows_no_streamlit_and_only_one_module_knows_transformer_lens(
    path: Any,
) -> None:
    found = imports(path)
    assert not any(name.startswith(("streamlit", "pages")) for name in found)
    if place(path) != "model/places.py":
        assert not any(name.startswith("transformer_lens") for name in found)
    if WITHOUT_TORCH.fullmatch(place(path)):
        assert not any(name.split(".")[0] == "torch" for name in found)
    text = path.read_text("utf-8")
    assert not re.search(r"^\s*print\(", text, re.M)
    assert not re.search(r"except\s*:", text)


def test_the_engines_imports_run_one_way() -> None:
    above = {path: uses(path) for path in ENGINE if path.name != "__init__.py"}
    done: set[Path] = set()
    while len(done) < len(above):
        ready = {m for m, needs in above.items() if m not in done and needs <= done}
        assert ready, f"these import each other: {sorted(map(place, set(above) - done))}"
        done |= ready


def test_each_room_of_the_engine_stands_on_those_before_it() -> None:
    def room(path: Path) -> str:
        return place(path).split("/")[0].removesuffix(".py")

    below: dict[str, set[str]] = {}
    for path in ENGINE:
        if path != ROOT / "engine" / "__init__.py":
            needs = below.setdefault(room(path), set())
            needs |= {room(other) for other in uses(path)} - {room(path)}
    assert set(GROUND) <= set(below)
    for i, one in enumerate(GROUND):
        assert below.pop(one) <= set(GROUND[:i]), one
    done = set(GROUND)
    while below:
        ready = {one for one, needs in below.items() if needs <= done}
        assert ready, f"these rooms import each other: {below}"
        done |= ready
        below = {one: needs for one, needs in below.items() if one not in done}


def test_names_say_what_things_are() -> None:
    for path in [*ENGINE, *PAGES]:
        assert path.stem not in ("utils", "helpers", "common", "base", "manager", "misc")
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert not node.name.startswith(("get_", "compute_")), f"{path.name}: {node.name}"


def test_every_public_name_says_what_it_is() -> None:
    for name in engine.__all__:
        assert inspect.getdoc(getattr(engine, name)) or not callable(getattr(engine, name)), name
    for path in ENGINE:
        tree = ast.parse(path.read_text("utf-8"))
        assert ast.get_docstring(tree), path.name
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_no_module_is_longer_than_can_be_read_at_a_sitting() -> None:
    longer = {
        path.relative_to(ROOT).as_posix()
        for path in [*ENGINE, *PAGES]
        if len(path.read_text("utf-8").splitlines()) > MOST_LINES
    }
    assert not longer
