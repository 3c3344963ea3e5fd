"""The pages there are: each file of `pages/`, as the package of its parts declares it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

PAGES = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Page:
    """A page's title, its icon as Streamlit writes it, and its place: pages stand in the order of
    these numbers, and the first opens where an address names none."""

    title: str
    icon: str
    place: int


def declared_pages(folder: Path = PAGES) -> dict[str, Page]:
    """The pages of a folder by their files' names, in order: `PAGE` of each page's parts, which are
    read before PyTorch is, and so import nothing that reads it.

    Raises: ValueError for a page's file without a declaration.
    """
    pages = {path.stem: _declared(path.stem) for path in folder.glob("*.py")}
    return dict(sorted(pages.items(), key=lambda each: (each[1].place, each[0])))


def _declared(name: str) -> Page:
    package = f"pages._parts.{name}"
    page = getattr(import_module(package), "PAGE", None) if find_spec(package) else None
    if not isinstance(page, Page):
        raise ValueError(
            f"pages/{name}.py is not declared: pages/_parts/{name}/__init__.py says "
            "PAGE = Page(title, icon, place)."
        )
    return page
