"""Directions in files: what is written is read back, other programs' files too, and damage is told
in a sentence."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import torch
from gguf import GGUFReader, GGUFWriter
from hypothesis import given
from hypothesis import strategies as st

import engine
from engine.saved.vectors import vectors_folder

MADE = engine.FromPrompts(["1 2 3 4"], ["8 1 6 3"])
VECTORS = [engine.Direction(f"at-{site}", site, MADE) for site in ("r1", "r3", "r6")]
E = engine.Experiment("seq-gpt2", "8 1 6 3", vectors=VECTORS)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SWITCHBOARD_VECTORS", str(tmp_path / "vectors"))
    return tmp_path / "vectors"


@pytest.fixture(scope="module")
def results() -> list[engine.DirectionValues]:
    return [engine.direction(E, one) for one in VECTORS]


def values(directions: Any) -> list[np.ndarray]:
    return [engine.direction("seq-gpt2", one).values for one in directions]


@pytest.mark.parametrize("form", ["safetensors", "gguf", "pt"])
def test_what_is_written_is_read_back_and_used(form: str, results: Any, tmp_path: Path) -> None:
    path = tmp_path / f"steering it.{form}"
    engine.save_direction(results, path)
    read = engine.read_directions(path)
    assert engine.read_directions(path.read_bytes(), "steering-it") == read
    assert [one.site for one in read] == [one.site for one in VECTORS]
    for own, result in zip(values(read), results, strict=True):
        np.testing.assert_array_equal(own, result.values)
    if form == "safetensors":
        assert [one.name for one in read] == [one.name for one in VECTORS]
        assert all(getattr(one.made, "model", "") == "seq-gpt2" for one in read)
        with safetensors.safe_open(path, "np") as file:
            header = file.metadata()
        told = json.loads(header["directions"])
        assert header["model"] == "seq-gpt2"
        assert told[1]["prompts"] == VECTORS[1].to_dict()["prompts"]
        assert told[1]["norm"] == results[1].norm
        assert told[1]["stream_norm"] == results[1].stream_norm
    else:
        assert [one.name for one in read] == [f"steering-it-{one.site}" for one in VECTORS]
    steered = replace(E, changes="add(at-r3, 2) r3")
    again = replace(E, vectors=read, changes=f"add({read[1].name}, 2) r3")
    assert engine.Experiment.from_url(again.to_url()) == again
    one, other = (engine.activations(e, []).ablated_logits for e in (steered, again))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_control_vectors_are_as_repeng_writes_and_reads_them(results: Any, tmp_path: Path) -> None:
    path = tmp_path / "theirs.gguf"
    writer = GGUFWriter(path, "controlvector")
    writer.add_string("controlvector.model_hint", "gpt2")
    writer.add_uint32("controlvector.layer_count", 2)
    width = len(results[0].values)
    for layer in (3, 1):
        writer.add_tensor(f"direction.{layer}", np.full(width, layer, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    read = engine.read_directions(path)
    assert [(one.name, str(one.site)) for one in read] == [
        ("theirs-r2", "r2"), ("theirs-r4", "r4")
    ]  # fmt: skip
    assert [own[0] for own in values(read)] == [1, 3]
    engine.save_direction(results, tmp_path / "ours.gguf")
    reader = GGUFReader(tmp_path / "ours.gguf")
    text = {name: bytes(field.parts[-1]) for name, field in reader.fields.items()}
    assert text["general.architecture"] == b"controlvector"
    assert text["controlvector.model_hint"] == b"seq-gpt2"
    assert struct.unpack("<I", text["controlvector.layer_count"]) == (3,)
    assert [tensor.name for tensor in reader.tensors] == [f"direction.{i}" for i in (0, 2, 5)]
    np.testing.assert_array_equal(reader.tensors[1].data, results[1].values)


def torch_file(given: Any) -> bytes:
    out = io.BytesIO()
    torch.save(given, out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("given", "sites"),
    [
        ({"layer_activations": {0: 1.0, 4: 2.0}, "layer_type": "decoder_block"}, "r1 r5"),
        ({"layer_activations": {2: 1.0}, "layer_type": "mlp"}, "m2"),
        ({"layer_activations": {2: 1.0}}, "r3"),
        ({3: 1.0}, "r4"),
    ],
)
def test_steering_vectors_numbers_are_read(given: Any, sites: str) -> None:
    inner = given.get("layer_activations", given)
    tensors = {layer: torch.full((32,), value) for layer, value in inner.items()}
    whole = {**given, "layer_activations": tensors} if inner is not given else tensors
    read = engine.read_directions(torch_file(whole), "v")
    assert [str(one.site) for one in read] == sites.split()


def test_steering_vectors_takes_what_is_written(results: Any) -> None:
    given = torch.load(io.BytesIO(engine.write_directions(results, "pt")), weights_only=True)
    assert set(given) == {"layer_activations", "layer_type"}  # the fields of a SteeringVector
    assert list(given["layer_activations"]) == [0, 2, 5]
    np.testing.assert_array_equal(given["layer_activations"][2], results[1].values)


def test_a_bare_vector_needs_a_name_and_a_place(results: Any) -> None:
    bare = safetensors.numpy.save({"x": results[1].values})
    with pytest.raises(engine.EngineError, match="give `site`"):
        engine.read_direction(bare)
    one = engine.read_direction(bare, "mine", "r3")
    assert (one.name, str(one.site)) == ("mine", "r3")
    np.testing.assert_array_equal(values([one])[0], results[1].values)
    assert engine.read_direction(torch_file(torch.ones(4)), "mine", "m1").site == engine.MLP(1)
    with pytest.raises(engine.EngineError, match="holds 3 directions"):
        engine.read_direction(engine.write_directions(results))


class Code:
    """What must never run."""

    def __reduce__(self) -> Any:
        return (open, ("/tmp/never", "w"))


def gguf_of(tmp_path: Path, architecture: str, **tensors: np.ndarray) -> bytes:
    path = tmp_path / "some.gguf"
    writer = GGUFWriter(path, architecture)
    for name, tensor in tensors.items():
        writer.add_tensor(name.replace("_", "."), tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


def saved(**tensors: Any) -> bytes:
    return safetensors.numpy.save(tensors)


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("archive/data.pkl", b"\0" * (65 * 2**20))
    return out.getvalue()


ONE = np.ones(8, np.float32)
DAMAGED: dict[str, Callable[[Path, list[Any]], Any]] = {
    "nothing": lambda _p, _r: b"",
    "a text": lambda _p, _r: b"not a vector at all",
    "a pickle": lambda _p, _r: b"\x80\x04K\x01.",
    "no such file": lambda p, _r: p / "none.gguf",
    "a directory": lambda p, _r: p,
    "a safetensors cut short": lambda _p, r: engine.write_directions(r)[:-7],
    "only its header": lambda _p, r: engine.write_directions(r)[:60],
    "a header that is no JSON": lambda _p, _r: struct.pack("<Q", 4) + b"{{{{" + bytes(8),
    "a header beyond the file": lambda _p, _r: struct.pack("<Q", 2**60) + b"{}",
    "no tensors": lambda _p, _r: safetensors.numpy.save({}),
    "a matrix": lambda _p, _r: saved(a=np.ones((3, 4), np.float32)),
    "a number": lambda _p, _r: saved(a=np.array(3, np.float32)),
    "an empty vector": lambda _p, _r: saved(a=np.ones(0, np.float32)),
    "whole numbers": lambda _p, _r: saved(a=np.ones(4, np.int64)),
    "infinity": lambda _p, _r: saved(a=np.array([1, np.inf], np.float32)),
    "NaN": lambda _p, _r: saved(a=np.array([1, np.nan], np.float32)),
    "too large for float32": lambda _p, _r: saved(a=np.array([1e300])),
    "a header of nonsense": lambda _p, _r: safetensors.numpy.save({"a": ONE}, {"directions": "["}),
    "a header of other things": lambda _p, _r: safetensors.numpy.save(
        {"a": ONE}, {"directions": "[3]"}
    ),
    "a site that is none": lambda _p, _r: safetensors.numpy.save(
        {"a": ONE}, {"directions": '[{"name": "a", "site": "5.1"}]'}
    ),
    "too many": lambda _p, _r: saved(**{f"a{i}": ONE for i in range(51)}),
    "a GGUF cut short": lambda _p, r: engine.write_directions(r, "gguf")[:-7],
    "a GGUF's first bytes": lambda _p, _r: b"GGUF",
    "a GGUF of a model": lambda p, _r: gguf_of(p, "llama", direction_1=ONE),
    "a GGUF with other tensors": lambda p, _r: gguf_of(p, "controlvector", blk_1=ONE),
    "a GGUF with no layer": lambda p, _r: gguf_of(p, "controlvector", direction_x=ONE),
    "a GGUF of whole numbers": lambda p, _r: gguf_of(
        p, "controlvector", direction_1=np.ones(8, np.int32)
    ),
    "a GGUF of a matrix": lambda p, _r: gguf_of(
        p, "controlvector", direction_1=np.ones((2, 8), np.float32)
    ),
    "code": lambda _p, _r: torch_file({"layer_activations": {1: Code()}}),
    "a torch file cut short": lambda _p, r: engine.write_directions(r, "pt")[:-70],
    "a zip of nothing": lambda _p, _r: b"PK\x03\x04",
    "a zip that grows": lambda _p, _r: bomb(),
    "a torch file of text": lambda _p, _r: torch_file({"layer_activations": {1: "a"}}),
    "no layers": lambda _p, _r: torch_file({"layer_activations": {}}),
    "layers that are none": lambda _p, _r: torch_file({"a": torch.ones(4)}),
    "a layer below 0": lambda _p, _r: torch_file({-1: torch.ones(4)}),
    "attention's": lambda _p, _r: torch_file(
        {"layer_activations": {1: torch.ones(4)}, "layer_type": "self_attn"}
    ),
    "a sparse one": lambda _p, _r: torch_file({1: torch.ones(4).to_sparse()}),
    "whole numbers of torch": lambda _p, _r: torch_file({1: torch.ones(4, dtype=torch.int64)}),
    "a list": lambda _p, _r: torch_file([torch.ones(4)]),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_what_is_no_file_of_directions_is_told_in_a_sentence(
    what: str, results: Any, tmp_path: Path, folder: Path
) -> None:
    given = DAMAGED[what](tmp_path, results)
    with pytest.raises(engine.EngineError) as told:
        engine.read_directions(given, "v", "r1")
    assert str(told.value).endswith(".") and len(str(told.value).split()) > 5, str(told.value)
    assert not Path("/tmp/never").exists()


@given(st.data())
def test_any_byte_changed_is_read_or_told(results: Any, data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["safetensors", "gguf", "pt"]))
    content = bytearray(engine.write_directions(results[:1], form))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    try:
        engine.read_directions(bytes(content), "v", "r1")
    except engine.EngineError as told:
        assert str(told).endswith(".")


def test_what_cannot_be_written_is_told(results: Any, tmp_path: Path) -> None:
    mid = engine.direction(E, engine.Direction("mid", "r2.mid", MADE))
    mlp = engine.direction(E, engine.Direction("mlp", "m2", MADE))
    other = engine.direction("seq-llama", engine.Direction("u", "r2", MADE))
    assert engine.read_direction(engine.write_directions(mid)).site == mid.direction.site
    assert engine.read_direction(engine.write_directions(mlp, "pt")).site == engine.MLP(2)
    entering = engine.direction(E, engine.Direction("e", "r0", MADE))
    for what, form, part in (
        ([mid], "gguf", "write it as safetensors"), ([mlp], "gguf", "write it as safetensors"),
        ([entering], "pt", "write it as safetensors"), ([mlp, results[0]], "pt", "not of both"),
        ([results[0], other], "safetensors", "one model"), ([mid, mid], "gguf", "another name"),
        ([], "gguf", "one or more"), (results, "npz", "safetensors, gguf, pt"),
        ([results[0], replace(results[0], direction=replace(VECTORS[0], name="b"))], "gguf",
         "one direction a layer"),
    ):  # fmt: skip
        with pytest.raises(engine.EngineError, match=part):
            engine.write_directions(what, form)
    with pytest.raises(engine.EngineError, match="cannot be written"):
        engine.save_direction(results, tmp_path / "vectors.gguf" / "\0.gguf")


def test_a_file_of_another_model_of_another_width_or_damaged_since_is_told(
    results: Any, folder: Path, tmp_path: Path
) -> None:
    one = engine.read_direction(engine.write_directions(results[1]))
    e = engine.Experiment("seq-gpt2", "1 2", vectors=one, changes="add(at-r3, 1) r3")
    engine.next_token(e)
    with pytest.raises(engine.ExperimentError, match="made on “seq-gpt2”, and this is “seq-llama”"):
        engine.next_token(replace(e, model="seq-llama"))
    assert isinstance(one.made, engine.FromFile)
    narrow = engine.read_direction(saved(a=ONE), "at-r3", "r3")
    with pytest.raises(engine.ExperimentError, match="8 numbers, and this model's stream has"):
        engine.next_token(replace(e, vectors=narrow))
    path = folder / f"{one.made.digest}.safetensors"
    assert path.parent == vectors_folder() and path.is_file()
    for content in (b"", path.read_bytes()[:-1], saved(direction=ONE), saved(other=ONE)):
        path.write_bytes(content)
        with pytest.raises(engine.ExperimentError, match="damaged: open the file again"):
            engine.next_token(e)
    path.unlink()
    with pytest.raises(engine.ExperimentError, match="open the file here too"):
        engine.next_token(e)
    engine.read_direction(engine.write_directions(results[1]))
    engine.next_token(e)


def test_where_nothing_can_be_kept_that_is_told(
    results: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SWITCHBOARD_VECTORS", str(tmp_path / "file"))
    with pytest.raises(engine.EngineError, match="set SWITCHBOARD_VECTORS"):
        engine.read_direction(engine.write_directions(results[1]))
