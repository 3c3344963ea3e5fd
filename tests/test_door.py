"""The door offers what it imports, and nothing twice."""

import ast
import inspect
from pathlib import Path

import engine

DOOR = ast.parse(Path(inspect.getfile(engine)).read_text("utf-8"))


def test_the_door_names_all_that_it_imports_and_no_more() -> None:
    imported = [
        alias.asname or alias.name
        for node in DOOR.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    assert sorted(imported) == sorted(set(imported))
    assert sorted(engine.__all__) == sorted(imported)


def test_the_doors_names_are_there_each_once() -> None:
    assert len(engine.__all__) == len(set(engine.__all__))
    assert all(hasattr(engine, name) for name in engine.__all__)
