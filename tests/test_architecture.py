"""The house's promises, read from its imports."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import engine

ROOT = Path(__file__).resolve().parent.parent
ENGINE = sorted((ROOT / "engine").glob("*.py"))
PAGES = [ROOT / "app.py", ROOT / "serve.py", *sorted((ROOT / "pages").rglob("*.py"))]
WITHOUT_TORCH = {
    "errors",
    "sites",
    "experiment",
    "results",
    "token_results",
    "lens_results",
    "attention_results",
    "generation_results",
    "generation_tables",
    "generation_figures",
    "tasks",
    "pairs",
    "receivers",
    "path_results",
    "edges",
    "circuit_results",
    "circuits",
    "overlaps",
    "shelf",
    "task_results",
    "drafts",
    "drawing",
    "checkpoints",
    "hub",
    "store",
    "tokens",
    "surprises",
    "token_figures",
    "lens_figures",
    "writing",
    "head_scores",
    "thumbnails",
    "sweep_results",
    "sweep_figures",
    "sweep_tables",
    "circuit_figures",
    "circuit_files",
    "circuit_tables",
    "evaluation_figures",
    "path_figures",
    "site_grid",
    "pruning",
    "saved_searches",
    "search_figures",
    "search_found",
    "search_tables",
    "search_results",
    "searches",
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            head = "." * node.level + (node.module or "")
            found |= {f"{head}.{a.name}" if head.strip(".") == "" else head for a in node.names}
    return found


def names(path: Path) -> set[tuple[str, str]]:
    return {
        (node.module or "", alias.name)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_pages_use_only_the_door(path):
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
def test_a_page_defines_no_class(path):
    assert not [
        n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.ClassDef)
    ]


@pytest.mark.parametrize("path", ENGINE, ids=lambda p: p.stem)
def test_the_engine_knows_no_streamlit_and_only_one_module_knows_transformer_lens(path):
    found = imports(path)
    assert not any(name.startswith(("streamlit", "pages")) for name in found)
    if path.stem != "model":
        assert not any(name.startswith("transformer_lens") for name in found)
    if path.stem in WITHOUT_TORCH:
        assert not any(name.split(".")[0] == "torch" for name in found)
    text = path.read_text("utf-8")
    assert not re.search(r"^\s*print\(", text, re.M)
    assert not re.search(r"except\s*:", text)


def test_the_engines_imports_run_one_way():
    above: dict[str, set[str]] = {}
    for path in ENGINE:
        if path.stem != "__init__":
            modules = set()
            for module, name in names(path):
                candidate = module or name
                if (ROOT / "engine" / f"{candidate}.py").is_file():
                    modules.add(candidate)
            above[path.stem] = modules
    done: set[str] = set()
    while len(done) < len(above):
        ready = {m for m, needs in above.items() if m not in done and needs <= done}
        assert ready, f"these import each other: {sorted(set(above) - done)}"
        done |= ready


def test_names_say_what_things_are():
    for path in [*ENGINE, *PAGES]:
        assert path.stem not in ("utils", "helpers", "common", "base", "manager", "misc")
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert not node.name.startswith(("get_", "compute_")), f"{path.name}: {node.name}"


def test_every_public_name_says_what_it_is():
    for name in engine.__all__:
        assert inspect.getdoc(getattr(engine, name)) or not callable(getattr(engine, name)), name
    for path in ENGINE:
        tree = ast.parse(path.read_text("utf-8"))
        assert ast.get_docstring(tree), path.name
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"
