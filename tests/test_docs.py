"""What is written for readers: short enough, no link into nothing, every code block runs."""

from __future__ import annotations

import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

import engine

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()
]  # fmt: skip
_FENCED = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
WITH_CODE = [page for page in PAGES if _FENCED.search(page.read_text("utf-8"))]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(r"`((?:app|assets|benchmarks|docs|engine|pages|tests|training)[\w/.-]*\.\w+)`")


def ids(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings are linked."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 130


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for link in _LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{ids(page)} links to {link}"
        assert not anchor or anchor in anchors(there), f"{ids(page)} links to {link}"
    for path in _PATH.findall(text):
        assert (ROOT / path).exists(), f"{ids(page)} names {path}"


@pytest.mark.parametrize("page", WITH_CODE, ids=ids)
def test_the_python_runs_as_it_is_written(page: Path) -> None:
    names: dict[str, object] = {}
    for block in _FENCED.findall(page.read_text("utf-8")):
        exec(compile(block, ids(page), "exec"), names)
    assert names["engine"]


def test_the_glossary_has_every_word_the_engine_defines() -> None:
    text = (ROOT / "docs" / "words.md").read_text("utf-8")
    words = {kind.word for kind in engine.Kind}
    words |= {*engine.METRICS, *engine.SCORES, *engine.STRATEGIES, *engine.SEARCH_METRICS}
    words |= {"faithfulness", "completeness", "minimality", "kept_beats", "removed_beats"}
    words |= {f.name for f in fields(engine.PlaceCheck)} - {"name", "layers", "why"}
    missing = [w for w in sorted(words) if not re.search(rf"\b{re.escape(w)}\b", text)]
    assert not missing, f"docs/words.md has no {', '.join(missing)}"


def test_the_page_of_families_has_a_column_for_every_check_and_place_of_a_certificate() -> None:
    found = engine.certificate("seq-gpt2")
    page = (ROOT / "docs" / "families.md").read_text("utf-8")
    head = next(line for line in page.splitlines() if line.startswith("| family |"))
    columns = [one.strip() for one in head.strip("|").split("|")]
    places = {*(place.name for place in found.places), *found.absent}
    checks = {check.name.replace("rows join late", "rows") for check in found.checks}
    assert {*columns} >= places | checks - {"weights are numbers"}  # which has no figure
