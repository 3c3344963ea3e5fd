"""Searches kept on disk while they run, so that one that was cut off goes on where it was.

A file holds the search, the order of its nodes where that was estimated, and every score it has
used. It is replaced as a whole, so whatever ends the process leaves one that can be read.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import EngineError
from .search import Search

VARIABLE = "SWITCHBOARD_SEARCHES"
"""The environment variable that names the directory of saved searches."""


@dataclass(frozen=True)
class SavedSearch:
    """What a search had when it was saved: `order`, its nodes in the order they are tried, empty
    where that is the order of the layers; `scores`, of each node tried."""

    order: tuple[str, ...] = ()
    scores: tuple[tuple[str, float], ...] = ()


def search_path(search: Search) -> Path:
    """The file in which the dashboard keeps this search: in the directory that the environment
    variable SWITCHBOARD_SEARCHES names, else in ~/.cache/switchboard/searches."""
    named = os.environ.get(VARIABLE)
    folder = Path(named) if named else Path.home() / ".cache" / "switchboard" / "searches"
    return folder / f"{search.digest}.json"


def read_search(path: Path, search: Search) -> SavedSearch:
    """What was saved of a search; nothing where there is no such file.

    Raises: EngineError for a file that is of another search, or none.
    """
    try:
        plain = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return SavedSearch()
    except (OSError, ValueError, RecursionError) as wrong:
        raise EngineError(
            f"The saved search {path} cannot be read: {str(wrong)[:200]}. Delete it to begin anew."
        ) from wrong
    if not isinstance(plain, dict) or plain.get("search") != search.to_json():
        raise EngineError(f"{path} is not of this search; name another file, or delete it.")
    try:
        order = tuple(str(name) for name in plain["order"])
        scores = tuple((str(name), float(score)) for name, score in plain["scores"])
    except (KeyError, TypeError, ValueError) as wrong:
        raise EngineError(
            f"The saved search {path} is damaged; delete it to begin anew."
        ) from wrong
    return SavedSearch(order, scores)


def write_search(path: Path, search: Search, saved: SavedSearch) -> None:
    """Put the file in place of what was there, at once.

    Raises: EngineError where it cannot be written.
    """
    plain = {"search": search.to_json(), "order": saved.order, "scores": saved.scores}
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(plain), "utf-8")
        os.replace(draft, path)
    except OSError as wrong:
        raise EngineError(
            f"The search cannot be saved at {path}: {wrong}. Set {VARIABLE} to a directory that "
            "can be written to."
        ) from wrong
