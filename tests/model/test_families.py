"""What is no language model that reads left to right is named for what it is; what is, is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from engine import ModelError
from engine.model.checkpoints import find_checkpoint
from engine.model.reading import read_hf
from tests.support.tiny_models import _COMMON, _GPT, _GROUPED, Tiny, save_model, save_tokenizer

CPU = torch.device("cpu")
_T5 = {
    "vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4,
    "pad_token_id": 0, "decoder_start_token_id": 0,
}  # fmt: skip
_BART = {
    "vocab_size": 64, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48, "max_position_embeddings": 64,
}  # fmt: skip
_CANINE = {**_COMMON, "type_vocab_size": 2}


def save(directory: Path, model: str, config: str, options: dict) -> Path:
    kind = getattr(transformers, f"{config}Config")
    getattr(transformers, model)(kind(**options)).save_pretrained(directory)
    save_tokenizer(directory)
    return directory


KINDS = [
    # masked language models, as such and in a language model's clothes
    ("BertForMaskedLM", "Bert", _COMMON, "masked language model"),
    ("RobertaForMaskedLM", "Roberta", _COMMON, "masked language model"),
    ("DistilBertForMaskedLM", "DistilBert", {"vocab_size": 64, "dim": 32, "n_layers": 2,
      "n_heads": 4, "hidden_dim": 48}, "masked language model"),
    ("AlbertForMaskedLM", "Albert", {**_COMMON, "embedding_size": 16}, "masked language model"),
    ("BertLMHeadModel", "Bert", _COMMON, "reads both ways"),
    ("RobertaForCausalLM", "Roberta", _COMMON, "reads both ways"),
    ("ElectraForCausalLM", "Electra", {**_COMMON, "embedding_size": 16}, "reads both ways"),
    ("XLMRobertaForCausalLM", "XLMRoberta", _COMMON, "reads both ways"),
    ("BertGenerationDecoder", "BertGeneration", _COMMON, "reads both ways"),
    ("BertModel", "Bert", _COMMON, "reads both ways"),
    ("XLMWithLMHeadModel", "XLM", {"vocab_size": 64, "emb_dim": 32, "n_layers": 2, "n_heads": 4},
     "reads both ways"),
    ("XLNetLMHeadModel", "XLNet", {"vocab_size": 64, "d_model": 32, "n_layer": 2, "n_head": 4,
      "d_inner": 48}, "reads both ways"),
    # classifiers and others with heads of their own
    ("GPT2ForSequenceClassification", "GPT2", _GPT, "classifier"),
    ("LlamaForSequenceClassification", "Llama", _GROUPED, "classifier"),
    ("BertForSequenceClassification", "Bert", _COMMON, "classifier"),
    ("GPT2ForTokenClassification", "GPT2", _GPT, "labels each token"),
    ("Qwen2ForQuestionAnswering", "Qwen2", _GROUPED, "marks a span"),
    ("BertForMultipleChoice", "Bert", _COMMON, "classifier of choices"),
    # encoder-decoders
    ("T5ForConditionalGeneration", "T5", _T5, "encoder-decoder"),
    ("MT5ForConditionalGeneration", "MT5", _T5, "encoder-decoder"),
    ("BartForConditionalGeneration", "Bart", _BART, "encoder-decoder"),
    ("MarianMTModel", "Marian", {**_BART, "pad_token_id": 0}, "encoder-decoder"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "config", "options", "told"), KINDS, ids=lambda x: str(x)[:30])
def test_what_has_no_next_token_is_named_for_what_it_is(
    tmp_path: Path, model: str, config: str, options: dict[str, Any], told: str
) -> None:
    directory = save(tmp_path, model, config, options)
    with pytest.raises(ModelError, match=told) as sentence:
        find_checkpoint(str(directory))
    assert model in str(sentence.value) and "Save it again" not in str(sentence.value)


def test_a_vision_language_model_is_named_and_its_text_part_can_be_had_as_told(
    tmp_path: Path,
) -> None:
    text = transformers.LlamaConfig(**_GROUPED)
    vision = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        image_size=8, patch_size=4,
    )  # fmt: skip
    m = transformers.LlavaForConditionalGeneration(
        transformers.LlavaConfig(text_config=text, vision_config=vision, image_token_index=63)
    )
    m.save_pretrained(tmp_path / "whole")
    save_tokenizer(tmp_path / "whole")
    with pytest.raises(ModelError, match="vision-language model") as told:
        find_checkpoint(str(tmp_path / "whole"))
    remedy = str(told.value).split("with the whole model as m, ")[1].split(", and its")[0]
    directory = str(tmp_path / "text")
    exec(remedy, {"m": m, "directory": directory, "AutoModelForCausalLM": AutoModelForCausalLM})
    save_tokenizer(tmp_path / "text")
    hf, _ = read_hf(find_checkpoint(directory), CPU, torch.float32, "sdpa")
    ids = torch.tensor([[1, 5, 9]])
    torch.testing.assert_close(hf(ids).logits, m.eval()(input_ids=ids).logits.detach())


@pytest.mark.parametrize(
    ("model", "config", "options"),
    [
        ("BertLMHeadModel", "Bert", {**_COMMON, "is_decoder": True}),
        ("RobertaForCausalLM", "Roberta", {**_COMMON, "is_decoder": True}),
        ("XLMWithLMHeadModel", "XLM", {"vocab_size": 64, "emb_dim": 32, "n_layers": 2,
          "n_heads": 4, "causal": True}),
        ("BartForCausalLM", "Bart", {**_BART, "is_decoder": True, "is_encoder_decoder": False}),
    ],
)  # fmt: skip
def test_what_was_made_to_read_left_to_right_is_read(
    tmp_path: Path, model: str, config: str, options: dict[str, Any]
) -> None:
    directory = save(tmp_path, model, config, options)
    hf, _ = read_hf(find_checkpoint(str(directory)), CPU, torch.float32, "eager")
    a, b = torch.tensor([[1, 5, 9]]), torch.tensor([[1, 5, 30]])
    torch.testing.assert_close(hf(a).logits[:, :2], hf(b).logits[:, :2])


CODE = """import pathlib
pathlib.Path(r"{ran}").touch()
from transformers import *
class Config(PretrainedConfig): pass
class Model(PreTrainedModel): pass
class Words(PreTrainedTokenizerFast): pass
"""


def with_code(directory: Path, ran: Path, **changes: object) -> Path:
    """A directory that carries code, as published Phi-3 and Falcon do, and says to run it."""
    (directory / "code.py").write_text(CODE.format(ran=ran))
    config = json.loads((directory / "config.json").read_text())
    autos = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
    config |= {"auto_map": autos, **changes}
    (directory / "config.json").write_text(json.dumps(config))
    words = directory / "tokenizer_config.json"
    told = json.loads(words.read_text()) | {"auto_map": {"AutoTokenizer": [None, "code.Words"]}}
    words.write_text(json.dumps(told))
    return directory


@pytest.mark.parametrize("kind", ["phi3", "falcon", "llama", "gpt2", "qwen2", "mixtral"])
def test_what_carries_code_is_read_by_transformers_own_class(tmp_path: Path, kind: str) -> None:
    plain = AutoModelForCausalLM.from_pretrained(save_model(kind, tmp_path / "m")).eval()
    directory = with_code(tmp_path / "m", tmp_path / "ran")
    hf, _ = read_hf(find_checkpoint(str(directory)), CPU, torch.float32, "sdpa")
    assert type(hf).__module__.startswith("transformers.models.")
    ids = torch.tensor([[1, 5, 9]])
    torch.testing.assert_close(hf(ids).logits, plain(ids).logits.detach())
    assert not (tmp_path / "ran").exists()


def test_a_family_that_is_its_own_codes_alone_is_named(tmp_path: Path) -> None:
    directory = with_code(save_model("llama", tmp_path / "m"), tmp_path / "ran", model_type="mine")
    with pytest.raises(ModelError, match=r"“mine”.*never run here"):
        find_checkpoint(str(directory))
    assert not (tmp_path / "ran").exists()


def test_code_that_stores_more_than_transformers_class_has_a_place_for_is_named(
    tmp_path: Path,
) -> None:
    from safetensors.torch import load_file, save_file

    directory = with_code(save_model("llama", tmp_path / "m"), tmp_path / "ran")
    weights = load_file(directory / "model.safetensors")
    weights["model.layers.0.self_attn.gate.weight"] = torch.zeros(4, 4)
    save_file(weights, directory / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="needs the Python code"):
        read_hf(find_checkpoint(str(directory)), CPU, torch.float32, "sdpa")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["olmo2", "llama", "gpt2", "gemma2", "falcon"])
def test_half_precision_is_read_as_hugging_face_reads_it(tiny: Tiny, kind: str, dtype: Any) -> None:
    directory = str(tiny(kind))
    hf, _ = read_hf(find_checkpoint(directory), CPU, dtype, "eager")
    plain = AutoModelForCausalLM.from_pretrained(
        directory, dtype=dtype, attn_implementation="eager"
    ).eval()
    ids = torch.tensor([[1, 5, 9]])
    assert {p.dtype for p in hf.parameters()} == {p.dtype for p in plain.parameters()}
    assert torch.equal(hf(ids).logits, plain(ids).logits)
    assert torch.get_default_dtype() == torch.float32
