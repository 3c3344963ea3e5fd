"""A search and its file: what is damaged, forged or another's is set aside, what cannot be written
is said, and the search runs to the same end."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.search.pruned_run import PrunedRun
from tests.circuits.test_circuits import solved
from tests.support.alone import printed
from tests.support.noting import noting
from tests.support.tiny_models import Tiny


def searched(search: engine.Search, save: object = None) -> engine.Discovery:
    return engine.begin(
        engine.Discover(search, controls=0, save=None if save is None else str(save))
    ).result()


class Whole:
    """A search, its end without a file, and the file that a search leaves."""

    def __init__(self, directory: str, folder: Path, by: str) -> None:
        self.search = engine.Search(directory, solved(directory), by=by, threshold=0.5)
        self.end = searched(self.search)
        file = folder / f"{by}.json"
        assert searched(self.search, file).notes == self.end.notes
        self.plain: dict = json.loads(file.read_text("utf-8"))

    def text(self, n: int | None = None, **changes: object) -> str:
        """The file, with its first n scores."""
        return json.dumps({**self.plain, "scores": self.plain["scores"][:n], **changes})

    def first(self, score: object) -> str:
        """The file with another first score."""
        scores = self.plain["scores"]
        return self.text(scores=[[scores[0][0], score], *scores[1:]])

    def same(self, found: engine.Discovery) -> None:
        assert found.done and found.circuit.sites == self.end.circuit.sites
        assert [str(t.node) for t in found.trials] == [str(t.node) for t in self.end.trials]
        assert [t.score for t in found.trials] == pytest.approx(
            [t.score for t in self.end.trials], abs=1e-4
        )


@pytest.fixture(scope="module")
def whole(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = {by: Whole(str(tiny("gpt2")), tmp_path_factory.mktemp(by), by)
            for by in engine.STRATEGIES}  # fmt: skip
    return made


def swapped(w: Whole) -> str:
    scores = w.plain["scores"]
    return w.text(scores=[scores[1], scores[0], *scores[2:]])


DAMAGED: dict[str, Callable[[Whole], str | bytes]] = {
    "cut off": lambda w: w.text()[:-40],
    "no JSON": lambda w: "once upon a time",
    "empty": lambda w: "",
    "bytes": lambda w: bytes(range(256)),
    "another search": lambda w: w.text(search=w.plain["search"].replace("0.5", "0.25")),
    "no search": lambda w: json.dumps({"order": [], "scores": []}),
    "a list": lambda w: "[]",
    "null": lambda w: "null",
    "NaN": lambda w: w.first(float("nan")),
    "inf": lambda w: w.first(float("inf")),
    "-inf": lambda w: w.first(float("-inf")),
    "1e999": lambda w: w.first(0.125).replace("0.125", "1e999"),
    "a number of 400 digits": lambda w: w.first(10**400),
    "a number of 9,000 digits": lambda w: w.first(0.125).replace("0.125", "1" * 9_000),
    "a long text": lambda w: w.first("9" * 100_000),
    "true": lambda w: w.first(True),
    "null for a score": lambda w: w.first(None),
    "a score of no node": lambda w: w.text(scores=[["9.9", 1.0]]),
    "a node twice": lambda w: w.text(scores=[w.plain["scores"][0]] * 2),
    "scores in another order": swapped,
    "more than there is": lambda w: w.text(scores=w.plain["scores"] * 3),
    "scores as an object": lambda w: w.text(scores={"0.0": 1.0}),
    "scores as text": lambda w: w.text(scores="ab"),
    "numbers as scores": lambda w: w.text(scores=[1, 2]),
    "nothing but nesting": lambda w: "[" * 200_000,
    "nested scores": lambda w: w.text(scores=[[[["0.0", 1.0]]]]),
    "an order of layers": lambda w: w.text(order=["0.0", "m0"]),
    "no order": lambda w: w.text(order=None),
}


def asides(file: Path) -> list[Path]:
    return sorted(file.parent.glob(f"{file.name}.aside*"))


def written(file: Path, content: str | bytes) -> bytes:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file.read_bytes()


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_file_is_set_aside_and_the_search_begins_anew(
    what: str, whole: Any, tmp_path: Path
) -> None:
    w, file = whole["pruning"], tmp_path / "search.json"
    content = written(file, DAMAGED[what](w))
    found = searched(w.search, file)
    w.same(found)
    (note,) = (note for note in found.notes if note not in w.end.notes)
    assert note.startswith(f"The saved search {file} ") and "search.json.aside" in note
    (aside,) = asides(file)
    assert aside.read_bytes() == content
    assert json.loads(file.read_text("utf-8"))["search"] == w.search.to_json()
    assert searched(w.search, file).notes == w.end.notes and asides(file) == [aside]


ORDERS: dict[str, Callable[[list[str]], list[Any]]] = {
    "cut": lambda order: order[1:],
    "a node twice": lambda order: [order[0], *order[:-1]],
    "a node of no model": lambda order: ["9.9", *order[1:]],
    "numbers": lambda order: [1, *order[1:]],
    "empty": lambda order: [],
}


@pytest.mark.parametrize("by", ["gradient", "nap-ig", "eap-ig"])
@pytest.mark.parametrize("what", ORDERS)
def test_an_order_that_is_none_of_these_nodes_is_set_aside(
    what: str, by: str, whole: Any, tmp_path: Path
) -> None:
    w, file = whole[by], tmp_path / "search.json"
    written(file, w.text(order=ORDERS[what](w.plain["order"])))
    found = searched(w.search, file)
    w.same(found)
    assert len(asides(file)) == 1 and "order" in found.notes[-1]


NUMBERS: dict[str, Callable[[list[float]], Any]] = {
    "none": lambda numbers: None,
    "one too few": lambda numbers: numbers[1:],
    "not the least first": lambda numbers: numbers[::-1],
    "below 0": lambda numbers: [-1.0, *numbers[1:]],
    "NaN": lambda numbers: [float("nan"), *numbers[1:]],
    "text": lambda numbers: ["0", *numbers[1:]],
    "too great": lambda numbers: [*numbers[:-1], 10**400],
}


@pytest.mark.parametrize("what", NUMBERS)
def test_numbers_by_which_nothing_is_ranked_are_set_aside(
    what: str, whole: Any, tmp_path: Path
) -> None:
    w, file = whole["nap-ig"], tmp_path / "search.json"
    written(file, w.text(numbers=NUMBERS[what](w.plain["numbers"])))
    found = searched(w.search, file)
    w.same(found)
    assert len(asides(file)) == 1 and "numbers" in found.notes[-1]


def test_the_next_damaged_file_does_not_take_the_name_of_the_last(
    whole: Any, tmp_path: Path
) -> None:
    w, file = whole["pruning"], tmp_path / "search.json"
    for text in ("one", "two", "three"):
        written(file, text)
        w.same(searched(w.search, file))
    assert sorted(a.read_text() for a in asides(file)) == ["one", "three", "two"]


@pytest.mark.parametrize("by", engine.STRATEGIES)
@pytest.mark.parametrize("n", [0, 1, 4, None])
def test_the_scores_of_a_valid_beginning_are_gone_on_from(
    by: str, n: int | None, whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    w, file = whole[by], tmp_path / "search.json"
    written(file, w.text(n))
    asked: list[int] = []
    score = noting(asked, lambda self, removed, nodes: len(nodes), PrunedRun.score)
    monkeypatch.setattr(PrunedRun, "score", score)
    found = searched(w.search, file)
    w.same(found)
    assert found.notes == w.end.notes and not asides(file)
    assert bool(asked) is (n is not None)
    assert len(asked) <= len(w.end.trials) - len(w.plain["scores"][:n])


def test_a_file_too_large_is_not_read_whole(whole: Any, tmp_path: Path) -> None:
    w, file = whole["pruning"], tmp_path / "search.json"
    with file.open("wb") as out:
        out.truncate(500 * 2**20)
    found = searched(w.search, file)
    w.same(found)
    (aside,) = asides(file)
    assert aside.stat().st_size == 500 * 2**20 and "more than 64 MiB" in found.notes[-1]


def test_a_directory_or_a_dangling_link_in_its_place_is_set_aside(
    whole: Any, tmp_path: Path
) -> None:
    w, file = whole["pruning"], tmp_path / "search.json"
    ways: list[Callable[[], None]] = [
        file.mkdir,
        lambda: file.symlink_to(tmp_path / "nowhere"),
    ]
    for made in ways:
        file.unlink(missing_ok=True)
        made()
        found = searched(w.search, file)
        w.same(found)
        assert file.is_file() and not file.is_symlink() and "set aside as" in found.notes[-1]
    assert len(asides(file)) == 2


@pytest.mark.parametrize("kind", ["pipe", "device", "directory of one's own"])
def test_what_is_in_others_use_is_left_and_the_search_is_not_saved(
    kind: str, whole: Any, tmp_path: Path
) -> None:
    """A pipe nobody writes to would keep a reader waiting for ever; a device never ends."""
    w, file = whole["pruning"], tmp_path / "search.json"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file = Path("/dev/zero")
    else:
        file = tmp_path / "results"
        file.mkdir()
    before = os.lstat(file)
    found = searched(w.search, file)
    w.same(found)
    assert "is no file, and could not be set aside" in found.notes[-1]
    assert "not saved" in found.notes[-1]
    after = os.lstat(file)
    assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode)
    assert not asides(file)


@pytest.mark.parametrize("content", ["valid", "damaged"])
def test_a_file_that_may_not_be_read_is_set_aside(
    content: str, whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    w, file = whole["pruning"], tmp_path / "search.json"
    written(file, w.text() if content == "valid" else "{")
    real = os.open

    def refused(path: Any, *args: Any, **more: Any) -> Any:
        if Path(path) == file:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *args, **more)

    monkeypatch.setattr(os, "open", refused)
    found = searched(w.search, file)
    w.same(found)
    assert "cannot be read (Permission denied)" in found.notes[-1] and len(asides(file)) == 1


def test_what_cannot_be_set_aside_is_not_written_over(
    whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    w, file = whole["pruning"], tmp_path / "search.json"
    written(file, "{")

    def refused(*_: Any) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "rename", refused)
    found = searched(w.search, file)
    w.same(found)
    assert file.read_text() == "{" and list(tmp_path.iterdir()) == [file]
    assert "could not be set aside (Read-only file system)" in found.notes[-1]


@pytest.mark.parametrize(
    "place",
    [
        lambda folder: folder / "file" / "search.json",
        lambda folder: folder / "file" / "deeper" / "search.json",
        lambda folder: folder / "loop" / "search.json",
        lambda folder: folder / ("long" * 100) / "search.json",
        lambda folder: f"{folder}/a\0b.json",
        lambda folder: "/proc/no/such/search.json",
    ],
)
def test_a_search_that_cannot_be_saved_goes_on_and_says_so_once(
    place: Any, whole: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    w = whole["pruning"]
    found = searched(w.search, place(tmp_path))
    w.same(found)
    (note,) = (note for note in found.notes if note not in w.end.notes)
    assert note.startswith("This search is not saved: ") and "SWITCHBOARD_SEARCHES" in note


@pytest.mark.parametrize("call", ["write_bytes", "mkdir", "replace"])
def test_a_disk_that_fills_at_any_moment_ends_no_search(
    call: str, whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.search.discover._SAVE_SECONDS", 0.0)
    w, file, calls = whole["pruning"], tmp_path / "search.json", []
    owner = os if call == "replace" else Path
    real = getattr(owner, call)

    def full(*args: Any, **more: Any) -> Any:
        calls.append(args)
        if len(calls) > 3:
            if call == "write_bytes":
                real(args[0], args[1][:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **more)

    monkeypatch.setattr(owner, call, full)
    found = searched(w.search, file)
    w.same(found)
    assert len(calls) > 3
    assert sum("No space left on device" in note for note in found.notes) == 1
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["search.json"]  # no draft is left
    again = searched(w.search, file)  # what could be saved is gone on from
    w.same(again)
    assert again.notes == w.end.notes and not asides(file)


def test_a_disk_with_room_again_is_written_to_and_nothing_is_said(
    whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.search.discover._SAVE_SECONDS", 0.0)
    w, file, calls, real = whole["pruning"], tmp_path / "search.json", [], os.replace

    def full_for_a_while(*args: Any) -> Any:
        calls.append(args)
        if len(calls) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args)

    monkeypatch.setattr(os, "replace", full_for_a_while)
    found = searched(w.search, file)
    w.same(found)
    assert found.notes == w.end.notes
    assert json.loads(file.read_text("utf-8"))["scores"] == w.plain["scores"]


def test_without_a_home_the_search_is_not_saved_and_says_so() -> None:
    code = (
        "import os, pwd\n"
        "pwd.getpwuid = lambda uid: (_ for _ in ()).throw(KeyError(uid))\n"
        "os.environ.pop('HOME', None); os.environ.pop('SWITCHBOARD_SEARCHES', None)\n"
        "import engine.search.search as s, engine.search.saved as saved\n"
        "from engine.tasks.pairs import Pair, Task\n"
        "from engine.search.strategies import Account\n"
        "from engine.search.search import Node, Trial\n"
        "search = s.Search('m', Task('t', (Pair('a', 'b', 'c', 'd'),)))\n"
        "path = saved.search_path(search)\n"
        "assert not os.path.exists(path)\n"
        "file = saved.SearchFile(path, search)\n"
        "file.read([], 1.0)\n"
        "file.write(Account(search, 1.0, 1.0, [Trial(Node(None), 1.0, False)]))\n"
        "print(*file.notes)\n"
    )
    assert "This search is not saved" in printed(code)
