"""Pages and fields of the link: each page declares its own, and nothing lists them all."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import engine
import pages._parts as parts
from pages._parts import state
from pages._parts.fields import MOST_WRITTEN, Choice, Text, declared
from pages._parts.page import Page, declared_pages
from tests.support.navigation import PAGES
from tests.test_architecture import ROOT


def add_page(
    folder: Any, monkeypatch: pytest.MonkeyPatch, name: str, fields: str, says: str = ""
) -> None:
    (folder / f"{name}.py").write_text("")
    package = folder / name
    package.mkdir()
    (package / "__init__.py").write_text(f"from pages._parts.page import Page\n{says}\n")
    (package / "fields.py").write_text(f"from pages._parts.fields import Choice, Text\n{fields}\n")
    monkeypatch.setattr(parts, "__path__", [*parts.__path__, str(folder)])


def test_pages_stand_in_the_order_they_declare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_page(tmp_path, monkeypatch, "behind", "FIELDS = ()", 'PAGE = Page("Z", ":a:", place=7)')
    add_page(tmp_path, monkeypatch, "before", "FIELDS = ()", 'PAGE = Page("Y", ":b:", place=-1)')
    assert list(declared_pages(tmp_path).items()) == [
        ("before", Page("Y", ":b:", -1)), ("behind", Page("Z", ":a:", 7)),
    ]  # fmt: skip


def test_a_page_that_declares_nothing_is_told_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_page(tmp_path, monkeypatch, "silent", "FIELDS = ()")
    with pytest.raises(ValueError, match=r"pages/silent\.py is not declared: .*PAGE = Page\("):
        declared_pages(tmp_path)
    (tmp_path / "silent.py").rename(tmp_path / "alone.py")
    with pytest.raises(ValueError, match=r"pages/_parts/alone/__init__\.py says PAGE"):
        declared_pages(tmp_path)


def test_the_pages_are_known_before_the_engine_is_read() -> None:
    code = (
        "import sys; from pages._parts import frame; assert frame._pages();"
        "print({'engine', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.parametrize("name", PAGES)
def test_each_page_declares_its_own_fields(name: str) -> None:
    own = import_module(f"pages._parts.{name}.fields").FIELDS
    assert own and all(declared()[field.name] == field for field in own)
    assert len({field.name for field in own}) == len(own)


def test_no_field_bears_the_name_of_a_part_of_the_experiment() -> None:
    assert not declared().keys() & engine.Experiment.__dataclass_fields__.keys()


def test_the_session_names_no_field_of_a_page() -> None:
    for module in ("state", "fields", "boxes"):
        tree = ast.parse((ROOT / "pages" / "_parts" / f"{module}.py").read_text("utf-8"))
        texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
        assert not texts & declared().keys(), module


def test_a_page_that_is_added_brings_its_fields_and_touches_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = declared()
    add_page(tmp_path, monkeypatch, "trial", 'FIELDS = (Choice("sort", ("up", "down")),)')
    assert declared.__wrapped__() == {**before, "sort": Choice("sort", ("up", "down"))}


def test_two_pages_that_mean_different_things_by_one_name_are_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_page(tmp_path, monkeypatch, "other", 'FIELDS = (Text("metric"),)')
    with pytest.raises(ValueError, match="“metric”"):
        declared.__wrapped__()


def test_what_a_link_says_is_read_as_a_value_of_the_field() -> None:
    run = Choice("run", ("clean", "ablated"))
    assert [run.read(text) for text in ("ablated", "Clean", "", None)] == [
        "ablated", "clean", "clean", "clean",
    ]  # fmt: skip
    assert run.fits_link("ablated") and not run.fits_link(None)
    box = Text("heads", "0.0")
    assert [box.read(text) for text in ("", None, "é\n")] == ["", "0.0", "é\n"]
    assert len(box.read("x" * (MOST_WRITTEN + 1))) == MOST_WRITTEN
    assert not box.fits_link("x" * (MOST_WRITTEN + 1)) and not box.fits_link(None)
    assert not hasattr(state, "CHOICES") and not hasattr(state, "WRITTEN")
