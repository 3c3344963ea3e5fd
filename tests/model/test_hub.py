"""A model on the hub is looked at first, refused in words if it cannot fit, and fetched sparely."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.hf_api import ModelInfo
from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]
from transformers import AutoModelForCausalLM

import engine
from engine.model.checkpoints import find_checkpoint, find_tokenizer_directory
from tests.support.tiny_models import Tiny

NAME = "somebody/a-model"
EXTRAS = ["pytorch_model.bin", "tf_model.h5", "model.fp16.safetensors", "consolidated.safetensors",
          "README.md", "onnx/model.onnx", "onnx/config.json", "original/a.safetensors"]  # fmt: skip


class Hub:
    """A hub of one model, in `remote`, that notes the `fetched` files and can be unreachable."""

    def __init__(self, remote: Path, cache: Path) -> None:
        self.remote, self.cache = remote, cache
        self.fetched: list[str] = []
        self.counts, self.up = True, True

    def files(self) -> dict[str, int]:
        paths = [p for p in self.remote.rglob("*") if p.is_file()]
        return {p.relative_to(self.remote).as_posix(): p.stat().st_size for p in paths}

    def snapshot(self, name: str, *, local_files_only: Any = False, **patterns: Any) -> str:
        wanted = {k: v for k, v in patterns.items() if k.endswith("_patterns")}
        files = filter_repo_objects(self.files(), **wanted)
        missing = [file for file in files if not (self.cache / file).exists()]
        if local_files_only and (missing or not self.cache.is_dir()):
            raise huggingface_hub.errors.LocalEntryNotFoundError("not cached")
        if not local_files_only:
            self.reach(name)
        for file in missing:
            self.cache.mkdir(exist_ok=True)
            shutil.copy(self.remote / file, self.cache / file)
        self.fetched += missing
        return str(self.cache)

    def info(self, _api: Any, name: str, *, files_metadata: Any, timeout: Any) -> ModelInfo:
        self.reach(name)
        assert files_metadata
        siblings = [{"rfilename": file, "size": size} for file, size in self.files().items()]
        parameters = {"F32": self.size_of_weights() // 4}
        counted = {"parameters": parameters, "total": sum(parameters.values())}
        return ModelInfo(id=name, siblings=siblings, safetensors=counted if self.counts else None)

    def size_of_weights(self) -> int:
        return sum(n for file, n in self.files().items() if file.startswith("model-")) or (
            self.files().get("model.safetensors", 0)
        )

    def reach(self, name: str) -> None:
        if not self.up or name != NAME:
            raise ConnectionError("no such host")

    @property
    def weights(self) -> list[str]:
        return sorted(file for file in self.fetched if "safetensors" in file.split(".")[-1])


@pytest.fixture
def hub(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    remote = tmp_path / "remote"
    shutil.copytree(tiny("gpt2"), remote)
    for file in EXTRAS:
        (remote / file).parent.mkdir(exist_ok=True)
        (remote / file).write_bytes(b"x" * 1000)
    one = Hub(remote, tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.snapshot_download", one.snapshot)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *a, **k: one.info(*a, **k))
    yield one
    engine.release(NAME)


def in_parts(hub: Hub) -> None:
    model = AutoModelForCausalLM.from_pretrained(hub.remote, use_safetensors=True)
    (hub.remote / "model.safetensors").unlink()
    model.save_pretrained(hub.remote, max_shard_size="12KB")
    assert (hub.remote / "model.safetensors.index.json").is_file()


def test_only_one_set_of_weights_and_what_is_read_with_it_are_fetched(hub: Any) -> None:
    assert engine.load(NAME).shape.n_layers > 0
    assert hub.weights == ["model.safetensors"]
    assert not [file for file in hub.fetched if file in EXTRAS]
    assert {"config.json", "tokenizer.json"} <= set(hub.fetched)


def test_weights_in_parts_are_those_the_index_names(hub: Any) -> None:
    in_parts(hub)
    assert engine.load(NAME).shape.n_layers > 0
    assert len(hub.weights) > 1 and all(f.startswith("model-0") for f in hub.weights)


def test_what_is_cached_is_read_without_the_hub_and_a_part_that_is_missing_is_fetched(
    hub: Any,
) -> None:
    in_parts(hub)
    find_checkpoint(NAME)
    lost, before = hub.weights[-1], len(hub.fetched)
    hub.up = False
    assert find_checkpoint(NAME).directory == hub.cache and len(hub.fetched) == before
    (hub.cache / lost).unlink()
    with pytest.raises(engine.ModelError, match="the hub did not give it"):
        find_checkpoint(NAME)
    hub.up = True
    find_checkpoint(NAME)
    assert hub.fetched[before:] == [lost]


@pytest.mark.parametrize("counts", [True, False])
def test_a_model_too_large_for_memory_is_refused_before_its_weights_are_fetched(
    hub: Any, monkeypatch: pytest.MonkeyPatch, counts: bool
) -> None:
    hub.counts = counts
    monkeypatch.setattr("engine.model.budget.free_bytes", lambda _: 1000)
    for name in [m.name for m in engine.models() if m.loaded]:
        engine.release(name)
    with pytest.raises(engine.ModelError, match=r"GiB for its weights in float32"):
        engine.load(NAME)
    assert hub.weights == [] and "config.json" in hub.fetched


def test_a_model_too_large_for_the_disk_is_refused_before_its_weights_are_fetched(
    hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("engine.model.hub.shutil.disk_usage", lambda _: usage(10, 9, 2**30))
    with pytest.raises(engine.ModelError, match=r"1\.0 GiB are free on the disk"):
        engine.load(NAME)
    assert hub.weights == []


def test_a_model_whose_code_would_have_to_run_is_refused_before_its_weights_are_fetched(
    hub: Any,
) -> None:
    config = hub.remote / "config.json"
    told = json.loads(config.read_text()) | {"auto_map": {"AutoModelForCausalLM": "x.Y"}}
    config.write_text(json.dumps(told | {"model_type": "of-its-own"}))
    with pytest.raises(engine.ModelError, match="never run here"):
        engine.load(NAME)
    assert hub.weights == []


@pytest.mark.parametrize(
    ("family", "architecture", "told"),
    [
        ("bert", "BertForMaskedLM", "reads both ways"),
        ("t5", "T5ForConditionalGeneration", "encoder-decoder"),
        ("llava", "LlavaForConditionalGeneration", "vision-language"),
    ],
)
def test_what_is_no_language_model_is_refused_before_its_weights_are_fetched(
    hub: Any, family: str, architecture: str, told: str
) -> None:
    config = hub.remote / "config.json"
    config.write_text(json.dumps({"model_type": family, "architectures": [architecture]}))
    with pytest.raises(engine.ModelError, match=told):
        engine.load(NAME)
    assert hub.weights == []


def test_a_model_of_pickles_alone_is_named_as_such(hub: Any) -> None:
    (hub.remote / "model.safetensors").unlink()
    with pytest.raises(engine.ModelError, match=r"pickle \(pytorch_model\.bin\)"):
        engine.load(NAME)
    (hub.remote / "pytorch_model.bin").unlink()
    with pytest.raises(engine.ModelError, match="neither model"):
        engine.load(NAME)
    assert hub.weights == []


def test_a_tokenizer_is_fetched_without_any_weights(hub: Any) -> None:
    assert find_tokenizer_directory(NAME) == hub.cache
    assert "tokenizer.json" in hub.fetched and hub.weights == []
    hub.up = False
    assert find_tokenizer_directory(NAME) == hub.cache


def test_a_name_the_hub_does_not_have_is_told(hub: Any) -> None:
    with pytest.raises(engine.ModelError, match="Check the name and the network"):
        engine.load("somebody/another")
