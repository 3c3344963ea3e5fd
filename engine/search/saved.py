"""Searches kept on disk while they run, so that one that was cut off goes on where it was.

A file holds the search, the order of its nodes where that was estimated, with their numbers where
it goes by those, and every score it has used. It is replaced as a whole, so whatever ends the
process leaves one that can be read. A file that is not such a one is set aside, and a search that
cannot be saved goes on unsaved: neither is a reason to do without the search.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..saved.files import kept_folder, reason, replace_file, shown_path
from .search import BY_GRADIENTS, Node, Search
from .strategies import Account, Ask, strategy

VARIABLE = "SWITCHBOARD_SEARCHES"
"""The environment variable that names the directory of saved searches."""
MOST_BYTES = 64 * 2**20
"""Of a saved search; a larger file is none."""


@dataclass(frozen=True)
class SavedSearch:
    """What a search had when it was saved: `order`, its nodes in the order they are tried, empty
    where that is the order of the layers; `numbers`, those by which they are ranked, where it goes
    by them; `scores`, of each node tried."""

    order: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()
    scores: tuple[tuple[str, float], ...] = ()


def search_path(search: Search) -> Path:
    """The file in which the dashboard keeps this search: in the directory that the environment
    variable SWITCHBOARD_SEARCHES names, else in ~/.cache/switchboard/searches; where nobody's home
    is known, one that cannot be written, so that the search says it is unsaved."""
    return kept_folder(VARIABLE, "searches") / f"{search.digest}.json"


class SearchFile:
    """The file of a search while it runs. `order`: its nodes in the order they are tried, empty
    where that is the order of the layers; `numbers`: by which they are ranked, if they are."""

    def __init__(self, path: Path | None, search: Search) -> None:
        self._path, self._search = path, search
        self.order: tuple[str, ...] = ()
        self.numbers: tuple[float, ...] = ()
        self._known: tuple[tuple[str, float], ...] = ()
        self._aside, self._unsaved = "", ""
        self._written = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Why a file that was there is not gone on from, and why the search is not saved."""
        return tuple(filter(None, (self._aside, self._unsaved)))

    def read(self, nodes: Sequence[Node], clean: float) -> None:
        """Take over what was saved of this search over these nodes, whose whole model scores
        `clean`; a file that is damaged, or of another search, is set aside."""
        if self._path is None:
            return
        try:
            if not os.path.lexists(self._path):
                return
            saved = _parsed(_text(self._path), self._search, nodes, clean)
        except OSError as wrong:
            self._set_aside(f"cannot be read ({reason(wrong)})")
        except (ValueError, RecursionError) as wrong:
            self._set_aside(str(wrong) if isinstance(wrong, _NoSearchError) else "is damaged")
        else:
            self.order, self.numbers, self._known = saved.order, saved.numbers, saved.scores
            self._written = len(saved.scores)

    def scores(self, account: Account, ask: Ask) -> list[float]:
        """What was saved of what is asked, if anything."""
        known = self._known[len(account.trials) : len(account.trials) + len(ask.nodes)]
        some = zip(ask.nodes, known, strict=False)
        return [
            score for _, (_, score) in itertools.takewhile(lambda x: str(x[0]) == x[1][0], some)
        ]

    def _set_aside(self, wrong: str) -> None:
        """Give the file another name, that of none there is; or leave it, and save nothing."""
        assert self._path is not None
        sentence = f"The saved search {shown_path(self._path)} {wrong}"
        try:
            if not _may_be_moved(self._path):
                raise OSError("it is no file")
            names = (f"{self._path.name}.aside{n or ''}" for n in range(1_000_000))
            free = next(n for n in names if not os.path.lexists(self._path.with_name(n)))
            os.rename(self._path, self._path.with_name(free))
        except (OSError, ValueError) as why:
            self._aside = (
                f"{sentence}, and could not be set aside ({reason(why)}): it is left as it is, the "
                "search began anew, and it is not saved."
            )
            self._path = None
        else:
            free = shown_path(Path(free))
            self._aside = f"{sentence}: it is set aside as {free}, and the search began anew."

    def write(self, account: Account) -> None:
        """Replace the file at once, if there is more to be saved than it has. Where that fails the
        notes say so, until it succeeds."""
        if self._path is None or len(account.trials) <= self._written:
            return
        scores = tuple((str(trial.node), trial.score) for trial in account.trials)
        plain: dict[str, Any] = {
            "search": self._search.to_json(),
            "order": self.order,
            "scores": scores,
        }
        if self.numbers:
            plain["numbers"] = self.numbers
        try:
            content = json.dumps(plain).encode()
            if len(content) > MOST_BYTES:
                raise ValueError(f"it would have more than {MOST_BYTES / 2**20:.0f} MiB")
            replace_file(self._path, content)
        except (OSError, ValueError) as wrong:
            self._unsaved = (
                f"This search is not saved: {shown_path(self._path)} cannot be written "
                f"({reason(wrong)}). To keep searches, set {VARIABLE} to a directory that can be "
                "written to."
            )
        else:
            self._unsaved = ""
            self._written = len(scores)


class _NoSearchError(ValueError):
    """What a file has in place of a search: the rest of a sentence that begins with its name."""


def _text(path: Path) -> str:
    """A regular file's text; of a pipe or a device nothing is read.

    Raises: OSError; ValueError for what is no text, or too much.
    """
    opened = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise _NoSearchError("is no file")
        with open(opened, "rb", closefd=False) as file:
            content = file.read(MOST_BYTES + 1)
    finally:
        os.close(opened)
    if len(content) > MOST_BYTES:
        raise _NoSearchError(f"has more than {MOST_BYTES / 2**20:.0f} MiB, so it is none")
    return content.decode("utf-8")


def _parsed(text: str, search: Search, nodes: Sequence[Node], clean: float) -> SavedSearch:
    """Raises: ValueError or RecursionError for what is no record of this search."""
    plain = json.loads(text)
    if not isinstance(plain, dict) or not isinstance(plain.get("search"), str):
        raise _NoSearchError("is damaged: it names no search")
    if plain["search"] != search.to_json():
        raise _NoSearchError("is of another search")
    order, scores = plain.get("order"), plain.get("scores")
    if not isinstance(order, list) or not isinstance(scores, list):
        raise _NoSearchError("is damaged: it has no order or no scores")
    names = {str(node): node for node in nodes}
    if search.by in ("gradient", *BY_GRADIENTS):
        if not all(isinstance(name, str) for name in order) or sorted(order) != sorted(names):
            raise _NoSearchError("is damaged: its order is none of this search's nodes")
        nodes = [names[name] for name in order]
    elif order:
        raise _NoSearchError(
            "is damaged: it has an order, and this search takes that of the layers"
        )
    numbers = _numbers(plain.get("numbers"), len(order)) if search.by in BY_GRADIENTS else ()
    saved = SavedSearch(tuple(order), numbers, tuple(_score(one, search) for one in scores))
    _replay(saved, search, nodes, clean)
    return saved


def _numbers(given: Any, n: int) -> tuple[float, ...]:
    """Raises: ValueError for what are no n numbers from 0, the least first."""
    if (
        isinstance(given, list)
        and len(given) == n
        and all(type(x) in (int, float) and 0 <= x < math.inf for x in given)
        and given == sorted(given)
    ):
        with suppress(OverflowError):
            return tuple(map(float, given))
    raise _NoSearchError("is damaged: it has no numbers by which its order could be")


def _score(one: Any, search: Search) -> tuple[str, float]:
    match one:
        case [str(name), int() | float() as number] if not isinstance(number, bool):
            with suppress(OverflowError):
                score = float(number)
                least, most = _BOUNDS[search.metric]
                if math.isfinite(score) and least <= score <= most:
                    return name, score
            raise _NoSearchError(f"is damaged: no {search.metric} is {number!s:.20}")
    raise _NoSearchError(f"is damaged: {one!s:.40} is no score of a node")


_SLACK = 1e-3
_BOUNDS = {
    "logit_diff": (-math.inf, math.inf),
    "prob": (0.0, 1 + _SLACK),
    "accuracy": (0.0, 1.0),
    "kl": (-_SLACK, math.inf),
}
"""From where to where a metric's scores can lie, rounding included."""


def _replay(saved: SavedSearch, search: Search, nodes: Sequence[Node], clean: float) -> None:
    """Let the strategy ask for what was saved: its scores are in the order it asks for them.

    Raises: ValueError at the first that is not.
    """
    asking = strategy(Account(search, clean, clean), nodes)
    i, replayed = -1, list[float]()
    try:
        names = [str(node) for node in next(asking).nodes]
        for i, (name, score) in enumerate(saved.scores):
            if name != names[len(replayed)]:
                raise _NoSearchError(
                    f"is damaged: its trial {i + 1} is of {name:.20}, and this search tries "
                    f"{names[len(replayed)]} there"
                )
            replayed.append(score)
            if len(replayed) == len(names) or search.by != "greedy":
                names, replayed = [str(node) for node in asking.send(replayed).nodes], []
    except StopIteration:
        if i + 1 < len(saved.scores):
            raise _NoSearchError("is damaged: it goes on where this search ends") from None


def _may_be_moved(path: Path) -> bool:
    """Files and links; a directory only where its name is a search's. A device, a pipe or another
    directory that was named by mistake is in others' use."""
    mode = os.lstat(path).st_mode
    return (
        stat.S_ISREG(mode) or stat.S_ISLNK(mode) or (stat.S_ISDIR(mode) and path.suffix == ".json")
    )
