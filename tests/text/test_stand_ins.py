"""Files that only stand for files, and weights that a wrapper renamed: named as what they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import engine
from engine.model.checkpoints import BUNDLED
from tests.support.tiny_models import Tiny

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 548105171\n"
PAGE = "<!DOCTYPE html>\n<html><body>Access denied</body></html>"
NAMES = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")


@pytest.fixture
def copied(tiny: Tiny, tmp_path: Path) -> Path:
    """A tiny model's directory that may be spoilt."""
    return Path(shutil.copytree(tiny("gpt2"), tmp_path / "model"))


def refusal(directory: Path) -> str:
    with pytest.raises(engine.ModelError) as told:
        engine.load(str(directory))
    return str(told.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (LFS, "is a Git LFS pointer: a few lines that stand for a file of 548,105,171 bytes"),
        ("/annex/objects/SHA256E-s5--ab.bin\n", "is a git-annex pointer"),
        (PAGE, "is a web page"),
        ("\n  <html>", "is a web page"),
        ("", "is empty"),
    ],
)
def test_what_lies_in_a_files_place_is_named(
    name: str, content: str, told: str, copied: Path
) -> None:
    (copied / name).write_text(content)
    said = refusal(copied)
    assert f"“{name}” {told}" in said and "damaged" not in said


@pytest.mark.parametrize("name", NAMES)
def test_a_link_that_leads_nowhere_is_named(name: str, copied: Path) -> None:
    (copied / name).unlink()
    (copied / name).symlink_to(copied.parent / "blobs" / "gone")
    assert f"“{name}” is a link to a file that is not there" in refusal(copied)


def in_parts(directory: Path) -> list[str]:
    """Cut the weights of a model in three, with their index. Returns: the files."""
    weights = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    files = [f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)]
    names = list(weights)
    for i, file in enumerate(files):
        save_file({n: weights[n] for n in names[i::3]}, directory / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {n: files[i % 3] for i, n in enumerate(names)}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return files


def test_a_missing_part_of_the_weights_is_named(copied: Path) -> None:
    files = in_parts(copied)
    engine.load(str(copied))
    engine.release(str(copied))
    (copied / files[1]).unlink()
    assert f"lacks 1 of the 3 files of weights that its model.safetensors.index.json names, such as {files[1]}" in refusal(copied)  # fmt: skip  # noqa: E501
    (copied / files[2]).write_text(LFS)
    assert f"“{files[2]}” is a Git LFS pointer" in refusal(copied)


@pytest.mark.parametrize(
    ("prefix", "help"),
    [
        ("module.", "model.module.save_pretrained"),
        ("_orig_mod.", "model._orig_mod.save_pretrained"),
        ("base_model.model.", "merge_and_unload().save_pretrained"),
        ("my_wrapper.inner.", "the one in the wrapper.save_pretrained"),
    ],
)
def test_weights_under_a_wrappers_name_are_named_with_what_helps(
    prefix: str, help: str, copied: Path
) -> None:
    weights = load_file(copied / "model.safetensors")
    save_file(
        {f"{prefix}{n}": w for n, w in weights.items()},
        copied / "model.safetensors",
        {"format": "pt"},
    )
    said = refusal(copied)
    assert f"all of its weights are called “{prefix}…”" in said and help in said


def test_lora_weights_beside_the_models_own_are_named(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    own = next(n for n in weights if n.endswith("c_attn.weight"))
    layer = own.removesuffix(".weight")
    changed = {n.replace(f"{layer}.", f"{layer}.base_layer."): w for n, w in weights.items()}
    changed = {f"base_model.model.{n}": w for n, w in changed.items()}
    for part in "AB":
        changed[f"base_model.model.{layer}.lora_{part}.default.weight"] = weights[own][:2].clone()
    save_file(changed, copied / "model.safetensors", {"format": "pt"})
    said = refusal(copied)
    assert "LoRA weights" in said and "merge_and_unload" in said


@pytest.mark.parametrize("with_config", [False, True])
def test_an_adapter_alone_is_named_with_its_base(with_config: bool, copied: Path) -> None:
    (copied / "model.safetensors").rename(copied / "adapter_model.safetensors")
    (copied / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": "gpt2", "peft_type": "LORA"})
    )
    if not with_config:
        (copied / "config.json").unlink()
    assert "is a LoRA adapter, a change of gpt2, and no model by itself" in refusal(copied)


def test_a_tokenizer_alone_names_what_stands_in_its_place(tmp_path: Path) -> None:
    directory = Path(shutil.copytree(BUNDLED / "seq-gpt2", tmp_path / "tokenizer"))
    (directory / "tokenizer.json").write_text(LFS)
    with pytest.raises(engine.ModelError, match=r"“tokenizer\.json” is a Git LFS pointer"):
        engine.tokenize(str(directory), "1 2 3")


def test_a_gguf_that_is_a_pointer_is_named(tmp_path: Path) -> None:
    (tmp_path / "some.gguf").write_text(LFS)
    assert "“some.gguf” is a Git LFS pointer" in refusal(tmp_path / "some.gguf")
