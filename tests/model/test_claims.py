"""A checkpoint that lies is refused quickly and in words, and leaves nothing behind."""

from __future__ import annotations

import gc
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.modules import module as registering
from transformers import AutoModelForCausalLM, PreTrainedModel, Zamba2Config, Zamba2ForCausalLM

from engine import ModelError
from engine.errors import Cancelled
from engine.model import building
from engine.model.checkpoints import find_checkpoint, find_tokenizer_directory
from engine.model.claims import MOST_POSITIONS, believable, check_claims
from engine.model.reading import read_hf
from tests.support.tiny_models import CONFIGS, SCALED, Tiny, save_model, save_tokenizer

CPU = torch.device("cpu")


def read(directory: Path, attention: str = "sdpa", going_on: Any = lambda: None) -> Any:
    return read_hf(find_checkpoint(str(directory)), CPU, torch.float32, attention, going_on)


def claiming(directory: Path, kind: str, **claims: object) -> Path:
    """A tiny model's directory whose config claims something else."""
    save_model(kind, directory)
    config = json.loads((directory / "config.json").read_text())
    for key, value in claims.items():
        where = config
        *way, last = key.split("__")
        for step in way:
            where = where.setdefault(step, {})
        where[last] = value
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def modules() -> int:
    return sum(issubclass(type(o), torch.nn.Module) for o in gc.get_objects())


def hooks() -> int:
    return sum(
        len(getattr(registering, f"_global_{kind}_registration_hooks"))
        for kind in ("module", "parameter", "buffer")
    )


LIES = [
    ("gpt2", {"n_layer": 10_000_000}),
    ("gpt2", {"n_layer": 900}),  # few enough to be believed as a number
    ("gpt2", {"n_embd": 2**30}),
    ("gpt2", {"n_embd": 2**19}),
    ("gpt2", {"n_inner": 2**40}),
    ("gpt2", {"n_positions": 10**9}),
    ("gpt2", {"n_positions": 2**24}),
    ("gpt2", {"vocab_size": 10**10}),
    ("gpt2", {"vocab_size": 10**400}),
    ("gptj", {"n_positions": 2**25}),
    ("llama", {"num_hidden_layers": 10_000_000}),
    ("llama", {"num_hidden_layers": 10**12}),
    ("llama", {"num_hidden_layers": 1000, "hidden_size": 4, "num_attention_heads": 1}),
    ("llama", {"intermediate_size": 2**20}),
    ("llama", {"head_dim": 10**7}),
    ("llama", {"max_position_embeddings": 10**12}),
    ("mixtral", {"num_local_experts": 10_000_000}),
    ("mixtral", {"num_local_experts": 2**19}),
    ("deepseek_v3", {"n_routed_experts": 2**18}),
    ("gemma2", {"num_hidden_layers": 10_000_000, "layer_types": None}),
    ("gemma3_text", {"rope_scaling": {"factor": 2, "num_layers": 10**9}}),
    ("falcon", {"num_hidden_layers": 10**8}),
    ("opt", {"max_position_embeddings": 2**25}),
    ("qwen3", {"text_config": {"vision": {"num_hidden_layers": 10**9}}}),
    ("stablelm", {"mtp": [[{"n_layers": 10**10}]]}),
]


@pytest.mark.parametrize(("kind", "claims"), LIES, ids=str)
def test_what_nothing_stored_could_fill_is_refused_quickly_and_leaves_nothing(
    tmp_path: Path, kind: str, claims: dict[str, Any]
) -> None:
    directory = claiming(tmp_path, kind, **claims)
    threads, begun = set(threading.enumerate()), time.process_time()
    gc.collect()
    before = modules()
    with pytest.raises(ModelError) as told:
        read(directory)
    assert "claims" in str(told.value) or "describes a model of" in str(told.value)
    assert len(str(told.value)) < 500
    assert time.process_time() - begun < 2
    del told
    gc.collect()
    assert modules() <= before
    assert set(threading.enumerate()) <= threads
    assert hooks() == 0 and not building._watches and not building._building.locked()


def test_a_config_nested_without_end_is_refused(tmp_path: Path) -> None:
    nested: dict = {"num_layers": 1}
    for _ in range(200):
        nested = {"text_config": nested}
    with pytest.raises(ModelError, match="nested more than"):
        find_checkpoint(str(claiming(tmp_path, "llama", **nested)))


@pytest.mark.parametrize(
    "honest",
    [
        {"max_position_embeddings": 10_485_760},  # the longest published
        {"rope_theta": 10**12},
        {"model_max_length": 10**30},
        {"image_token_id": 2**40},
        {"n_params": 7 * 10**9, "num_training_steps": 10**8, "seed": 2**63},
        {"time_step_limit": [0.0, float("inf")], "mask_value": -(10**9)},
        {"sliding_window": 131_072, "vocab_size": 262_208, "vision_config": {"hidden_size": 8192}},
    ],
    ids=str,
)
def test_what_published_configs_say_is_believed(honest: dict[str, Any]) -> None:
    check_claims("m", honest, n_numbers=1000, n_tensors=10)


def test_positions_are_believed_up_to_a_bound() -> None:
    check_claims("m", {"n_ctx": MOST_POSITIONS})
    with pytest.raises(ModelError, match=r"n_ctx = 33,554,433"):
        check_claims("m", {"n_ctx": MOST_POSITIONS + 1})


@pytest.mark.parametrize("kind", [*CONFIGS, *SCALED, "bloom"])
def test_an_honest_model_is_read_as_hugging_face_reads_it(tiny: Tiny, kind: str) -> None:
    directory = tiny(kind)
    hf, tokenizer = read(directory, "eager")
    plain = AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager").eval()
    ids = torch.tensor([tokenizer.encode("t1 t5 t9").ids])
    torch.testing.assert_close(hf(ids).logits, plain(ids).logits.detach())
    assert not hf.training and not any(p.requires_grad for p in hf.parameters())
    assert hooks() == 0


@pytest.mark.parametrize("width", [32, 8])
def test_a_model_of_many_shared_weights_is_no_liar(tmp_path: Path, width: int) -> None:
    """Zamba 2 registers the one block it shares once for each of its uses."""
    by_other_names: dict[str, Any] = {
        "mamba_headdim": width * 2, "layer_types": ["mamba", "hybrid"] * 6
    }  # fmt: skip
    config = Zamba2Config(
        vocab_size=64, hidden_size=width * 4, num_hidden_layers=12, num_attention_heads=4,
        num_key_value_heads=4, intermediate_size=64, mamba_d_state=8, n_mamba_heads=4,
        num_mem_blocks=1, adapter_rank=4, chunk_size=16, **by_other_names,
    )  # fmt: skip
    Zamba2ForCausalLM(config).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    assert read(tmp_path, "eager")[0].config.model_type == "zamba2"


FOREIGN = "somebody/a-kernel"


@pytest.mark.parametrize(
    "key",
    [
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_internal",
        "attn_implementation_internal",
        "_experts_implementation",
        "experts_implementation",
        "experts_implementation_internal",
    ],
)
@pytest.mark.parametrize("kind", ["llama", "mixtral"])
def test_no_implementation_a_config_names_is_ever_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, key: str
) -> None:
    reached = []
    for where in ("integrations.hub_kernels.load_and_register_attn_kernel", "modeling_flash_"
                  "attention_utils.lazy_import_flash_attention"):  # fmt: skip
        monkeypatch.setattr(f"transformers.{where}", lambda *a, **k: reached.append(a))
    directory = claiming(tmp_path, kind, **{key: FOREIGN})
    hf, _ = read(directory, "eager")
    assert hf.config._attn_implementation == "eager" and not reached
    assert FOREIGN not in json.dumps(hf.config.to_dict())


def test_words_that_are_not_for_a_config_to_say_are_left_out_at_any_depth() -> None:
    said = {"attn_implementation": "a/b", "x": 1}
    config = {"auto_map": {}, "text_config": {**said, "deeper": [said, [said]]}, **said}
    assert believable(config) == {
        "text_config": {"x": 1, "deeper": [{"x": 1}, [{"x": 1}]]},
        "x": 1,
    }


def test_a_config_cannot_name_other_weights_than_those_looked_at(tmp_path: Path) -> None:
    directory = claiming(tmp_path, "llama", transformers_weights="others.safetensors")
    weights = load_file(directory / "model.safetensors")
    save_file({k: v + 1 for k, v in weights.items()}, directory / "others.safetensors")
    hf, _ = read(directory)
    assert torch.equal(hf.model.norm.weight, weights["model.norm.weight"])


def test_an_index_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    directory = save_model("llama", tmp_path)
    (directory / "model.safetensors").rename(directory / "w.safetensors")
    index = {"weight_map": {"model.norm.weight": "../../w.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"no \*\.safetensors beside it"):
        find_checkpoint(str(directory))


@pytest.mark.parametrize("method", ["eetq", "fbgemm_fp8"])
def test_a_quantization_that_would_fetch_code_is_refused(tmp_path: Path, method: str) -> None:
    directory = claiming(tmp_path, "llama", quantization_config={"quant_method": method})
    with pytest.raises(ModelError, match="code fetched from the hub"):
        find_checkpoint(str(directory))


def test_a_tokenizer_alone_is_not_looked_for_by_a_config_that_lies(tmp_path: Path) -> None:
    directory = claiming(tmp_path, "llama", num_hidden_layers=10**12)
    with pytest.raises(ModelError, match="num_hidden_layers"):
        find_tokenizer_directory(str(directory))


@pytest.mark.parametrize("after", [1, 10, 40, 80, 105])
def test_a_reading_called_off_at_any_part_ends_there_and_leaves_nothing(
    tiny: Tiny, after: int
) -> None:
    directory = tiny("llama")
    told = []

    def going_on() -> None:
        told.append(1)
        if len(told) > after:
            raise Cancelled("This load was called off.")

    with pytest.raises(Cancelled):
        read(directory, going_on=going_on)
    assert len(told) == after + 1
    assert hooks() == 0 and not building._watches and not building._building.locked()
    assert read(directory)[0] is not None


def test_what_another_thread_makes_is_neither_counted_nor_called_off(tiny: Tiny) -> None:
    made, stop = [], threading.Event()

    def make() -> None:
        while not stop.is_set():
            made.append(torch.nn.Linear(2, 2))

    other = threading.Thread(target=make)
    other.start()
    try:
        counts = []
        for _ in range(3):
            told: list[int] = []
            read(tiny("llama"), going_on=lambda told=told: told.append(1))
            counts.append(len(told))
    finally:
        stop.set()
        other.join()
    assert len(set(counts)) == 1 and made


def test_many_models_are_read_at_once_and_each_is_itself(tiny: Tiny) -> None:
    """Transformers changes its own classes while it makes modules; here one is made at a time."""
    kinds = ["gpt2", "llama", "mixtral", "qwen3"] * 3
    found: dict[int, torch.Tensor] = {}

    def one(i: int) -> None:
        hf, _ = read(tiny(kinds[i]), "eager")
        found[i] = hf(torch.tensor([[1, 5, 9]])).logits

    for kind in set(kinds):
        tiny(kind)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(kinds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(kinds) and torch.get_default_dtype() == torch.float32
    for i, logits in found.items():
        torch.testing.assert_close(logits, found[kinds.index(kinds[i])])
    assert PreTrainedModel.tie_weights.__name__ == "tie_weights"
