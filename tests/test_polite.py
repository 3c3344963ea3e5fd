"""What goes wrong is said in a sentence with the numbers, and nothing else escapes."""

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import engine
from tests.conftest import real
from tests.support.tiny_models import Tiny, save_model, save_tokenizer

PROMPT = "t1 t5 t9 t2"


@pytest.fixture
def ask(tiny: Tiny) -> Any:
    directory = str(tiny("gpt2", n_layer=12, n_positions=8))

    def asked(**fields: Any) -> Any:
        return engine.next_token(engine.Experiment(directory, **{"prompt": PROMPT, **fields}))

    return asked


def test_an_empty_prompt(ask: Any) -> None:
    with pytest.raises(engine.TokenError, match="The prompt is empty"):
        ask(prompt="", prepend_bos=False)
    assert len(ask(prompt="").tokens) == 1  # BOS alone is something to read


def test_a_prompt_longer_than_the_context(ask: Any) -> None:
    with pytest.raises(engine.TokenError, match="10 tokens long; this model reads at most 8"):
        ask(prompt=" ".join(["t1"] * 9))


def test_an_answer_that_does_not_fit_behind_the_prompt(ask: Any) -> None:
    with pytest.raises(engine.TokenError, match="at most 8"):
        ask(prompt=" ".join(["t1"] * 7), answer=" t1 t2 t3")


def test_a_site_the_model_does_not_have(ask: Any) -> None:
    with pytest.raises(engine.SiteError, match=r"13\.40 is in layer 13"):
        ask(ablations="13.40")


def test_an_answer_the_tokenizer_cannot_write(ask: Any) -> None:
    found = ask(answer=" xyz")
    assert found.answer is None
    assert any("“ xyz” is not scored" in note for note in found.notes)


@pytest.mark.parametrize("method", ["mean_by_position", "resample"])
def test_a_reference_of_another_length_is_told_with_both_counts(ask: Any, method: str) -> None:
    with pytest.raises(engine.ExperimentError, match="3 tokens long and the prompt 5"):
        ask(ablations="1.1", method=method, references=["t1 t2"], corrupted="t1 t2")


@pytest.mark.parametrize("method", ["mean", "mean_by_position", "resample"])
def test_a_method_without_its_references(ask: Any, method: str) -> None:
    with pytest.raises(engine.ExperimentError, match=r"there (are|is) none"):
        ask(ablations="1.1", method=method)


def test_a_position_past_the_prompt(ask: Any) -> None:
    with pytest.raises(engine.ExperimentError, match="5 tokens, positions 0 to 4"):
        ask(ablations="1.1", positions="7")


@pytest.mark.parametrize("words", ["m0-19999 " * 20_000, "0.0-99999 " * 2])
def test_more_sites_than_anyone_means(words: str) -> None:
    with pytest.raises(engine.SiteError, match=r"(More|more) than 20000"):
        engine.parse_sites(words)


def test_more_positions_than_anyone_means() -> None:
    with pytest.raises(engine.ExperimentError, match="100,000 positions"):
        engine.Positions.parse("0-99999," * 20_000 + "1")


@pytest.mark.parametrize("method", ["scale(1e308)", "set(1e39)", "set(-3e38)"])
def test_numbers_no_model_survives(ask: Any, method: str) -> None:
    with pytest.raises(engine.ExperimentError, match="must be finite"):
        ask(ablations="a0", method=method)


def test_numbers_that_overflow_in_the_model_are_told(tiny: Tiny) -> None:
    directory = str(tiny("gpt2", n_layer=2))
    engine.load(directory, dtype="float16")
    e = engine.Experiment(directory, PROMPT, ablations="m0 a0", method="set(1e6)")
    with pytest.raises(engine.EngineError, match="overflow"):
        engine.next_token(e)


def test_an_answer_outside_the_vocabulary_is_told(tmp_path: Path, tiny: Tiny) -> None:
    directory = tmp_path / "m"
    shutil.copytree(tiny("gpt2", vocab_size=20), directory)
    save_tokenizer(directory)
    with pytest.raises(engine.TokenError, match="outside the model's vocabulary of 20"):
        engine.next_token(engine.Experiment(str(directory), "t1", answer=" t50"))


@pytest.mark.parametrize("at", [("z", 99), ("foo", 0), ("ln_final", 0), ("pattern", -1)])
def test_an_activation_there_is_not(tiny: Tiny, at: tuple[Any, ...]) -> None:
    with pytest.raises(engine.EngineError, match="has no"):
        engine.activations(engine.Experiment(str(tiny("gpt2")), PROMPT), [at])


def test_half_a_surrogate_pair(ask: Any) -> None:
    with pytest.raises(engine.TokenError, match="surrogate"):
        ask(prompt="t1 \ud83d")


def test_neurons_of_a_mixture_of_experts(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("mixtral")), PROMPT, ablations="n1.2")
    with pytest.raises(engine.SiteError, match="mixtures of experts"):
        engine.next_token(e)


def test_bos_where_there_is_none() -> None:
    with pytest.raises(engine.TokenError, match="no BOS"):
        engine.tokenize(str(real("gpt-nano-sort")), "ABC", prepend_bos=True)


def broken(kind: str, directory: Any) -> Any:
    directory.mkdir(exist_ok=True)
    if kind != "no config":
        save_model("gpt2", directory)
    weights, config = directory / "model.safetensors", directory / "config.json"
    match kind:
        case "pickle":
            torch.save({"a": torch.zeros(1)}, directory / "pytorch_model.bin")
            weights.unlink()
        case "no weights":
            weights.unlink()
        case "damaged":
            weights.write_bytes(b"\xff" * 64)
        case "cut short":
            weights.write_bytes(weights.read_bytes()[:-5000])
        case "code":
            told = json.loads(config.read_text()) | {"auto_map": {"AutoModelForCausalLM": "x.Y"}}
            config.write_text(json.dumps(told | {"model_type": "of-its-own"}))
        case "weights missing":
            weights_held = load_file(weights)
            save_file(
                {k: v for k, v in weights_held.items() if "h.1.mlp" not in k},
                weights, {"format": "pt"},
            )  # fmt: skip
        case "huge":
            header = {"w": {"dtype": "F32", "shape": [10**400], "data_offsets": [0, 4]}}
            data = json.dumps(header).encode()
            weights.write_bytes(struct.pack("<Q", len(data)) + data + b"\0" * 4)
        case "deep":
            data = b"[" * 100_000
            weights.write_bytes(struct.pack("<Q", len(data)) + data)
        case "odd class":
            told = json.loads(config.read_text()) | {"architectures": {"a": 1}, "model_type": []}
            config.write_text(json.dumps(told))
        case "no JSON":
            config.write_text("{")
        case "unknown type":
            config.write_text('{"model_type": "never-heard-of"}')
        case "no tokenizer":
            for path in directory.glob("*token*"):
                path.unlink()
    return str(directory)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("no config", "without a config.json"),
        ("pickle", "stores its weights as a pickle"),
        ("no weights", r"no \*\.safetensors"),
        ("damaged", "damaged or no safetensors"),
        ("cut short", "cannot be loaded"),
        ("weights missing", "missing keys"),
        ("huge", "damaged or no safetensors"),
        ("deep", "damaged or no safetensors"),
        ("odd class", "names no model_type"),
        ("code", "never run here"),
        ("no JSON", "cannot be read as JSON"),
        ("unknown type", "cannot be loaded|cannot be read"),
        ("no tokenizer", "tokenizer"),
    ],
)
def test_a_directory_that_is_no_model(tmp_path: Path, kind: str, told: str) -> None:
    with pytest.raises(engine.ModelError, match=told):
        engine.load(broken(kind, tmp_path / "m"))


@pytest.mark.parametrize(
    "name", ["", "  ", "/no/such/place", "../../etc", "a\0b", "x" * 5000, "a b", "?"]
)
def test_a_name_that_is_no_model(name: str) -> None:
    with pytest.raises(engine.ModelError) as told:
        engine.load(name)
    assert len(str(told.value)) < 600


def test_a_hub_name_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(engine.ModelError, match="Check the name and the network"):
        engine.load("nobody/nothing-of-this-name")


def test_a_device_or_dtype_there_is_not(tiny: Tiny) -> None:
    with pytest.raises(engine.ModelError, match="no device"):
        engine.load(str(tiny("opt")), device="quantum")
    with pytest.raises(engine.ModelError, match="float32, float16, bfloat16"):
        engine.load(str(tiny("opt")), dtype="int3")


def test_a_model_that_does_not_fit_says_what_it_needs(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.model.budget.free_bytes", lambda _: 1000)
    with pytest.raises(engine.ModelError, match="GiB for its weights"):
        engine.load(str(tiny("phi", hidden_size=64)))


def test_a_model_that_can_never_fit_drives_no_other_out(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = str(tiny("gpt2"))
    engine.load(small)
    monkeypatch.setattr("engine.model.budget.free_bytes", lambda _: 1000)
    with pytest.raises(engine.ModelError, match="GiB for its weights"):
        engine.load(str(tiny("llama", hidden_size=512, intermediate_size=4096, head_dim=8)))
    assert small in [m.name for m in engine.models() if m.loaded]


def test_a_card_that_cannot_be_read_says_nothing(tmp_path: Path, tiny: Tiny) -> None:
    directory = tmp_path / "m"
    shutil.copytree(tiny("gpt2"), directory)
    (directory / "card.json").write_text("[1]")
    engine.load(str(directory))
    about = next(m.about for m in engine.models() if m.name == str(directory))
    assert "GPT2LMHeadModel" in about


def test_ids_outside_the_vocabulary_never_reach_the_device(tmp_path: Path, tiny: Tiny) -> None:
    directory = tmp_path / "m"
    shutil.copytree(tiny("gpt2", vocab_size=20), directory)
    save_tokenizer(directory)
    with pytest.raises(engine.TokenError, match="outside the model's vocabulary of 20"):
        engine.next_token(engine.Experiment(str(directory), "t1 t50"))
