"""What kind of model a config describes, and whether it is one that writes text left to right.

AutoModelForCausalLM reads more than it should: a masked language model (BERT) comes out of it as
one whose "next token" was worked out from that very token. Each kind is named for what it is.
"""

from __future__ import annotations

from typing import Any

from transformers import CONFIG_MAPPING, __version__
from transformers.models.auto import modeling_auto as auto

from ..errors import ModelError

_WRITES = "What reads left to right, such as gpt2 or a Llama, can be shown here."
_KINDS = {
    "ForMaskedLM": "a masked language model: it fills gaps and reads both ways",
    "ForPreTraining": "a model with the heads it was pretrained with",
    "ForSequenceClassification": "a classifier: it labels a whole text",
    "ForSequenceClassificationWithHead": "a classifier: it labels a whole text",
    "ForTokenClassification": "a token classifier: it labels each token of a text",
    "ForQuestionAnswering": "a question answerer: it marks a span of a text",
    "ForMultipleChoice": "a classifier of choices",
    "ForNextSentencePrediction": "a classifier of pairs of sentences",
    "ForImageClassification": "a classifier of images",
    "ForSpeechSeq2Seq": "a model from speech to text",
    "ForAudioClassification": "a classifier of sounds",
    "ForCTC": "a model from speech to text",
    "RewardModel": "a reward model: it gives a text a score",
}
"""What the end of an architecture's name says it is, where that is no writer of text."""
_VISION = "a vision-language model: its text continues images, which are not read here"
_SEQ2SEQ = "an encoder-decoder: it writes a second text for a first, which it reads both ways"
_OTHERS = {
    "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES": _VISION,
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES": _SEQ2SEQ,
    "MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES": _KINDS["ForSpeechSeq2Seq"],
    "MODEL_FOR_CTC_MAPPING_NAMES": _KINDS["ForCTC"],
    "MODEL_FOR_MASKED_LM_MAPPING_NAMES": _KINDS["ForMaskedLM"],
    "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES": "a model of images",
    "MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES": "a model of sounds",
}
"""What a family is that has no language model, by the first of transformers' lists it is in."""
_TEXT_PART = (
    " Its language model alone can be: with the whole model as m, lm = AutoModelForCausalLM."
    "from_config(m.config.text_config); lm.model = m.model.language_model; lm.lm_head = m.lm_head; "
    "lm.save_pretrained(directory), and its tokenizer beside it."
)
_BOTH_WAYS = {*auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES, "bert-generation", "xlnet"}
"""Families that read both ways unless their config says otherwise."""
_FETCHED_KERNELS = ("eetq", "fbgemm_fp8", "metal", "sinq", "nvfp4", "sonicmoe")
"""Quantizations whose arithmetic is code that transformers fetches from the hub."""


def check_family(name: str, config: dict[str, Any]) -> None:
    """Refuse what is no language model that reads left to right, named for what it is.

    Raises: ModelError saying what it is and what would work.
    """
    family = config.get("model_type")
    if not isinstance(family, str) or not family:
        raise ModelError(f"The config.json of “{name}” names no model_type.")
    if family not in CONFIG_MAPPING:
        raise ModelError(_unknown(name, family, "auto_map" in config))
    architecture = _architecture(config)
    called = architecture or family
    for ending, what in _KINDS.items():
        if architecture.endswith(ending):
            raise ModelError(f"“{name}” ({called}) is {what}, with no next token. {_WRITES}")
    if family not in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelError(_no_language_model(name, family, called))
    alone = architecture.endswith("ForCausalLM")  # the decoder, saved without its encoder
    if _says(config, family, "is_encoder_decoder") and not alone:
        raise ModelError(f"“{name}” ({called}) is {_SEQ2SEQ}. {_WRITES}")
    _check_direction(name, config, family, called)
    _check_quantization(name, config)


def _unknown(name: str, family: str, has_code: bool) -> str:
    """What to say of a family that transformers has no class for."""
    what = f"“{name}” is of the family “{family[:60]}”, which transformers {__version__} has not"
    if has_code:
        return (
            f"{what}: it can only be read by Python code that comes with it, which is never run "
            "here. Use a checkpoint of an architecture that transformers has itself."
        )
    return f"{what}, so it cannot be read. A newer transformers may have it."


def _no_language_model(name: str, family: str, called: str) -> str:
    """What to say of a family without a language model of its own."""
    for mapping, what in _OTHERS.items():
        if family in getattr(auto, mapping, {}):
            more = _TEXT_PART if what is _VISION else ""
            return f"“{name}” ({called}) is {what}. {_WRITES}{more}"
    return f"“{name}” ({called}) is no language model that transformers can read. {_WRITES}"


def _check_direction(name: str, config: dict[str, Any], family: str, called: str) -> None:
    """Refuse a family that reads both ways unless its config says that this one does not."""
    # XLM and Flaubert call it `causal`, where the others say `is_decoder`; XLNet has no such word
    key = "causal" if hasattr(CONFIG_MAPPING[family], "causal") else "is_decoder"
    if family in _BOTH_WAYS and (family == "xlnet" or not _says(config, family, key)):
        raise ModelError(
            f"“{name}” ({called}) reads both ways, as masked language models do: its config does "
            f"not say {key}, so what stands after a token would show in its “next” token. Only "
            f"one that was trained to read left to right and saved with {key}=True can be shown."
        )


def _check_quantization(name: str, config: dict[str, Any]) -> None:
    """Refuse a quantization that would fetch code."""
    quantization = config.get("quantization_config")
    method = str(quantization.get("quant_method")) if isinstance(quantization, dict) else ""
    if method in _FETCHED_KERNELS:
        raise ModelError(
            f"“{name}” is quantized by {method}, whose arithmetic is code fetched from the hub, "
            "which is never run here. Use the model's own weights, or another quantization."
        )


def _says(config: dict[str, Any], family: str, key: str) -> bool:
    """Whether the config says so, or leaves it to a class that does."""
    said = config.get(key)
    return bool(getattr(CONFIG_MAPPING[family], key, False) if said is None else said)


def _architecture(config: dict[str, Any]) -> str:
    named = config.get("architectures")
    first = named[0] if isinstance(named, list) and named else None
    return first if isinstance(first, str) else ""
