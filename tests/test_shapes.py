"""What is checked by shape when tests run: every function of the engine that names an array."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest

from engine.heads.thumbnails import pooled
from tests.test_architecture import ENGINE, ROOT

SHAPED = re.compile(r"\b(Float|Int|Int8|Bool)\[")
MODULES = [path for path in ENGINE if "jaxtyping" in path.read_text("utf-8")]


def name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def says_shapes(node: ast.AST) -> bool:
    """Whether a function's own annotations name an array with its axes."""
    if not isinstance(node, ast.FunctionDef):
        return False
    given = node.args
    notes = [arg.annotation for arg in [*given.posonlyargs, *given.args, *given.kwonlyargs]]
    return any(note and SHAPED.search(ast.unparse(note)) for note in [*notes, node.returns])


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_function_that_names_an_array_is_checked(path: Path) -> None:
    module = importlib.import_module(name(path))
    for node in ast.parse(path.read_text("utf-8")).body:
        members = node.body if isinstance(node, ast.ClassDef) else [node]
        holder = getattr(module, node.name) if isinstance(node, ast.ClassDef) else module
        for each in filter(says_shapes, members):
            assert isinstance(each, ast.FunctionDef)
            found = inspect.getattr_static(holder, each.name)
            assert any("jaxtyping" in file for file in files(found)), each.name


def files(found: Any) -> Iterator[str]:
    """Where the code of a function, property or method is written, outermost first."""
    unwrapped = (getattr(found, name, None) for name in ("fget", "func", "__func__"))
    one = next(filter(None, unwrapped), found)
    while one is not None:
        yield one.__code__.co_filename
        one = getattr(one, "__wrapped__", None)


def test_an_array_of_another_shape_is_an_error() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="pattern"):
        pooled(np.zeros((3, 3), dtype=np.float32), 2)
