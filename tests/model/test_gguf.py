"""A GGUF file is a model like any other: read as transformers reads it, or refused in words."""

from __future__ import annotations

import struct
import threading
import time
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.convert_slow_tokenizer import bytes_to_unicode

import engine
from engine import ModelError
from engine.errors import Cancelled
from engine.model import building
from engine.model.checkpoints import find_checkpoint
from engine.model.reading import read_hf

CPU = torch.device("cpu")
Q8, F16, F32, Q4_1 = (
    gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.F32,
    gguf.GGMLQuantizationType.Q4_1,
)  # fmt: skip
ALPHABET = sorted(set(bytes_to_unicode().values()))
PARTS = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def tiny_llama() -> LlamaForCausalLM:
    torch.manual_seed(3)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(ALPHABET) + 3,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            rms_norm_eps=1e-5,
            bos_token_id=1,
            eos_token_id=1,
        )
    ).eval()


def write(
    file: Path,
    kind: gguf.GGMLQuantizationType = Q8,
    architecture: str = "llama",
    tokens: bool = True,
    **claims: int,
) -> LlamaForCausalLM:
    """Write a tiny Llama as a GGUF file. Returns: the model, with its weights as they were."""
    hf = tiny_llama()
    out = gguf.GGUFWriter(str(file), architecture)
    sizes = {"block_count": 3, "context_length": 64, "embedding_length": 32,
             "feed_forward_length": 64, "attention.head_count": 4,
             "attention.head_count_kv": 2, "vocab_size": hf.config.vocab_size,
             "rope.dimension_count": 8}  # fmt: skip
    for key, value in {**sizes, **claims}.items():
        out.add_uint64(f"{architecture}.{key}", value) if value >= 2**32 else out.add_uint32(
            f"{architecture}.{key}", value
        )
    out.add_float32(f"{architecture}.attention.layer_norm_rms_epsilon", 1e-5)
    out.add_float32(f"{architecture}.rope.freq_base", 10000.0)
    if tokens:
        out.add_tokenizer_model("gpt2")
        out.add_tokenizer_pre("smollm")
        out.add_token_list(["<unk>", "<|end|>", *ALPHABET, ALPHABET[5] + ALPHABET[6]])
        out.add_token_types([3, 3, *[1] * (len(ALPHABET) + 1)])
        out.add_token_merges([f"{ALPHABET[5]} {ALPHABET[6]}"])
        out.add_bos_token_id(1)
        out.add_eos_token_id(1)
    for name, weight in hf.state_dict().items():
        called = {"model.embed_tokens.weight": "token_embd.weight", "lm_head.weight":
                  "output.weight", "model.norm.weight": "output_norm.weight"}.get(name)  # fmt: skip
        data = weight.numpy()
        if called is None:
            _, _, layer, part = name.removesuffix(".weight").split(".", 3)
            called = f"blk.{layer}.{PARTS[part]}.weight"
            heads = {"attn_q": 4, "attn_k": 2}.get(PARTS[part])
            if heads:  # llama.cpp has rotary halves interleaved
                data = data.reshape(heads, 2, -1, 32).swapaxes(1, 2).reshape(data.shape)
        of = kind if data.ndim == 2 else F32
        out.add_tensor(called, gguf.quantize(np.ascontiguousarray(data), of), raw_dtype=of)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return hf


def read(file: Path, going_on: Any = lambda: None) -> Any:
    return read_hf(find_checkpoint(str(file)), CPU, torch.float32, "eager", going_on)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write(file)
    return file


@pytest.mark.parametrize(("kind", "most"), [(F32, 1e-6), (F16, 1e-2), (Q8, 5e-2), (Q4_1, 0.5)])
def test_a_gguf_file_gives_the_numbers_of_the_model_it_was_made_of(
    tmp_path: Path, kind: Any, most: float
) -> None:
    before = write(tmp_path / "m.gguf", kind)
    hf, tokenizer = read(tmp_path / "m.gguf")
    ids = torch.tensor([tokenizer.encode("ab c").ids])
    assert ids.shape == (1, 4)
    assert float((hf(ids).logits - before(ids).logits).detach().abs().max()) < most


def test_it_is_exactly_what_transformers_reads(good: Path) -> None:
    hf, tokenizer = read(good)
    plain = AutoModelForCausalLM.from_pretrained(
        good.parent, gguf_file=good.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    ids = torch.tensor([tokenizer.encode("hello, you").ids])
    assert torch.equal(hf(ids).logits, plain(ids).logits)
    words = transformers.AutoTokenizer.from_pretrained(good.parent, gguf_file=good.name)
    assert words("hello, you")["input_ids"] == tokenizer.hf("hello, you")["input_ids"]


def test_what_quantization_it_was_is_said(tmp_path: Path, good: Path) -> None:
    found = find_checkpoint(str(good))
    assert found.quantization == "GGUF Q8_0" and "GGUF Q8_0, dequantized" in found.about
    assert found.architecture == "LlamaForCausalLM" and found.place == good.resolve()
    write(tmp_path / "m.gguf", Q4_1)
    assert "Q4_1" in find_checkpoint(str(tmp_path / "m.gguf")).about


def test_it_is_loaded_and_asked_like_any_model_and_is_one_by_any_name(good: Path) -> None:
    link = good.with_name("link.gguf")
    link.symlink_to(good)
    try:
        assert engine.load(str(good)) is engine.load(str(link))
        e = engine.Experiment(str(good), "hello", ablations="1.2 m0")
        assert len(engine.next_token(e).tokens)
    finally:
        engine.release(str(good))


def test_the_size_checked_is_that_of_the_dequantized_weights(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_checkpoint(str(good))
    assert found.bytes_in(4) == 4 * sum(p.numel() for p in tiny_llama().parameters())
    assert found.bytes_in(4) > 3 * good.stat().st_size - 20_000
    for name in [m.name for m in engine.models() if m.loaded]:
        engine.release(name)
    monkeypatch.setattr("engine.model.budget.free_bytes", lambda _: good.stat().st_size)
    with pytest.raises(ModelError, match="once GGUF Q8_0 is dequantized"):
        engine.load(str(good))


@pytest.mark.parametrize(
    ("name", "told"),
    [("none.gguf", "no file on this machine"), ("some.bin", "Of files GGUF alone")],
)
def test_a_path_that_is_no_gguf_file(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "some.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=told):
        find_checkpoint(str(tmp_path / name))


@pytest.mark.parametrize("share", [0, 0.00001, 0.01, 0.1, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_told_and_never_read(tmp_path: Path, good: Path, share: float) -> None:
    data = good.read_bytes()
    (tmp_path / "m.gguf").write_bytes(data[: int(share * len(data))])
    with pytest.raises(ModelError, match=r"cut short|damaged or no GGUF|is empty"):
        find_checkpoint(str(tmp_path / "m.gguf"))


@pytest.mark.parametrize("architecture", ["clip", "never-heard-of", "rwkv6", "t5", "tokenizer"])
def test_an_architecture_transformers_cannot_read_is_named(
    tmp_path: Path, architecture: str
) -> None:
    write(tmp_path / "m.gguf", architecture=architecture)
    with pytest.raises(ModelError, match=f"“{architecture}”"):
        find_checkpoint(str(tmp_path / "m.gguf"))


def test_a_file_without_a_tokenizer_is_told(tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", tokens=False)
    with pytest.raises(ModelError, match="without a tokenizer"):
        find_checkpoint(str(tmp_path / "m.gguf"))


@pytest.mark.parametrize(
    "claims",
    [
        {"block_count": 10_000_000},
        {"block_count": 2**60},
        {"block_count": 1000},
        {"embedding_length": 2**31},
        {"embedding_length": 2**19},
        {"feed_forward_length": 2**40},
        {"feed_forward_length": 2**20},
        {"attention.head_count": 2**32},
        {"context_length": 2**40},
        {"vocab_size": 2**33},
    ],
    ids=str,
)
def test_a_file_that_claims_more_than_it_holds_is_refused_quickly(
    tmp_path: Path, claims: dict[str, Any]
) -> None:
    write(tmp_path / "m.gguf", **claims)
    begun = time.process_time()
    with pytest.raises(ModelError, match=r"claims|describes a model of"):
        read(tmp_path / "m.gguf")
    assert time.process_time() - begun < 3
    assert not building._watches and not building._building.locked()


@pytest.mark.parametrize(
    ("at", "value"),
    [(8, 2**63), (8, 10**7), (16, 2**63), (16, 10**6), (24, 2**62), (24, 2**30)],
)
def test_counts_and_lengths_beyond_the_file_are_not_believed(
    tmp_path: Path, good: Path, at: int, value: int
) -> None:
    data = bytearray(good.read_bytes())
    struct.pack_into("<Q", data, at, value)
    (tmp_path / "m.gguf").write_bytes(data)
    begun = time.process_time()
    with pytest.raises(ModelError, match="damaged or no GGUF"):
        find_checkpoint(str(tmp_path / "m.gguf"))
    assert time.process_time() - begun < 1


@settings(max_examples=200)
@given(at=st.integers(0, 9000), byte=st.integers(0, 255))
def test_a_changed_byte_anywhere_in_the_header_gives_a_model_or_a_sentence(
    good: Path, at: Any, byte: Any
) -> None:
    data = bytearray(good.read_bytes())
    data[at] = byte
    file = good.with_name("changed.gguf")
    file.write_bytes(data)
    try:
        find_checkpoint(str(file))
    except ModelError as told:
        assert len(str(told)) < 600


@settings(max_examples=25)
@given(at=st.integers(20, 1200), byte=st.integers(0, 255))
def test_a_changed_byte_in_what_describes_the_model_is_read_or_refused(
    good: Path, at: Any, byte: Any
) -> None:
    data = bytearray(good.read_bytes())
    data[at] = byte
    file = good.with_name("changed.gguf")
    file.write_bytes(data)
    try:
        read(file)
    except ModelError as told:
        assert len(str(told)) < 600


@pytest.mark.parametrize("after", [1, 20, 60, 100])
def test_the_reading_of_a_gguf_file_is_called_off_too(
    good: Path, after: int, capfd: pytest.CaptureFixture[str]
) -> None:
    told = []

    def going_on() -> None:
        told.append(1)
        if len(told) > after:
            raise Cancelled("This load was called off.")

    before = set(threading.enumerate())
    with pytest.raises(Cancelled):
        read(good, going_on)
    assert len(told) == after + 1
    read(good)
    assert not capfd.readouterr().err  # no progress bar of others
    new = set(threading.enumerate()) - before  # pools of others may come and go
    assert not [t for t in new if "Monitor" in type(t).__name__]
