"""From a checkpoint to the Hugging Face model and its tokenizer: read, checked, on its device.

The attention a model runs with is named by the caller, never by the config; no code of others is
run, and nothing is built that the stored weights could not fill.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
)
from transformers.utils import logging as transformers_logging
from transformers.utils.quantization_config import GgufConfig

from ..errors import EngineError, ModelError
from ..text.tokens import Tokenizer
from .building import Watch, watched
from .checkpoints import Checkpoint
from .claims import believable, check_claims
from .gguf_reading import hasten

transformers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()


def read_hf(
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
    attention: str,
    going_on: Callable[[], None] = lambda: None,
) -> tuple[Any, Tokenizer]:
    """Read a checkpoint's own model, as transformers has it, onto a device.

    `attention`: the implementation by transformers' name ("sdpa", "eager", one registered with
    its AttentionInterface); eager where the family has no sdpa. `going_on` is called at every
    part made and every weight read, and what it raises ends the reading.
    Returns: the model, in eval mode and without gradients, and its tokenizer.
    Raises: ModelError in words.
    """
    going_on()
    if checkpoint.gguf is not None:
        hasten()
    try:
        tokenizer = read_tokenizer(checkpoint.gguf or checkpoint.directory)
        going_on()
        hf = _read_model(checkpoint, dtype, attention, going_on)
        going_on()
        return nn.Module.to(hf, device).eval().requires_grad_(False), tokenizer
    except EngineError:
        raise
    except Exception as wrong:
        raise ModelError(
            f"“{checkpoint.name}” ({checkpoint.architecture}) cannot be loaded: "
            f"{type(wrong).__name__}: {str(wrong).strip()[:300]}"
        ) from wrong


def read_tokenizer(place: Path) -> Tokenizer:
    """The tokenizer in a directory, or in a GGUF file. Raises: ModelError in words."""
    if not place.is_file():
        return Tokenizer.load(place)
    try:
        return Tokenizer(AutoTokenizer.from_pretrained(**_where(place)))
    except Exception as wrong:
        raise ModelError(
            f"The tokenizer in “{place.name}” cannot be read ({type(wrong).__name__}: "
            f"{str(wrong).strip()[:200]}). Take the same model's safetensors, or another file."
        ) from wrong


def _read_model(
    checkpoint: Checkpoint, dtype: torch.dtype, attention: str, going_on: Callable[[], None]
) -> Any:
    config = _read_config(checkpoint)
    kind: Any = AutoModelForCausalLM._model_mapping[type(config)]
    if attention == "sdpa" and not getattr(kind, "_supports_sdpa", False):
        attention = "eager"
    n_tensors = checkpoint.stored.n_tensors
    watch = Watch(checkpoint.name, checkpoint.most_numbers, n_tensors, going_on)
    read: Any = AutoModelForCausalLM.from_pretrained
    more = {"quantization_config": GgufConfig(dequantize=True)} if checkpoint.gguf else {}
    with watched(watch):
        hf, report = read(
            **_where(checkpoint.gguf or checkpoint.directory),
            config=config,
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            output_loading_info=True,
            **more,
        )
    _check_weights(checkpoint, report)
    return hf


def _where(place: Path) -> dict[str, Any]:
    """What transformers' `from_pretrained` is told of a directory or a GGUF file, and whom to
    trust."""
    whole = place.is_dir()
    return {
        "pretrained_model_name_or_path": str(place if whole else place.parent),
        "trust_remote_code": False,
        "local_files_only": True,
        **({} if whole else {"gguf_file": place.name}),
    }


def _read_config(checkpoint: Checkpoint) -> Any:
    """Transformers' config object, of those words of the config that are to be believed."""
    if checkpoint.gguf is not None:
        config = AutoConfig.from_pretrained(**_where(checkpoint.gguf or checkpoint.directory))
        stored = checkpoint.stored
        check_claims(checkpoint.name, config.to_dict(), stored.n_numbers, stored.n_tensors)
        return config
    config = believable(checkpoint.config)
    quantized = config.get("quantization_config")
    if isinstance(quantized, dict) and checkpoint.quantization and not checkpoint.packed:
        config["quantization_config"] = {**quantized, "dequantize": True}
    with tempfile.TemporaryDirectory(prefix="switchboard-") as folder:
        Path(folder, "config.json").write_text(json.dumps(config), encoding="utf-8")
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    config.name_or_path = str(checkpoint.directory)
    return config


def _check_weights(checkpoint: Checkpoint, result: dict[str, Any]) -> None:
    """Refuse a checkpoint with weights missing: they would be made up at random."""
    missing, beyond = result.get("missing_keys") or (), result.get("unexpected_keys") or ()
    why = _wrapped(sorted(map(str, missing)), sorted(map(str, beyond)))
    if why:
        raise ModelError(f"“{checkpoint.name}” does not hold a {checkpoint.architecture}: {why}")
    for what in ("missing_keys", "mismatched_keys", "error_msgs"):
        wrong = result.get(what)
        if wrong:
            names = ", ".join(sorted(str(w) for w in wrong)[:3])
            raise ModelError(
                f"“{checkpoint.name}” does not hold the weights of a {checkpoint.architecture} "
                f"({what.replace('_', ' ')}: {len(wrong)}, such as {names[:200]}). Save it again."
            )
    if beyond and "auto_map" in checkpoint.config:
        names = ", ".join(sorted(map(str, beyond))[:3])
        raise ModelError(
            f"“{checkpoint.name}” stores {len(beyond)} weights that transformers' own "
            f"{checkpoint.architecture} has no place for, such as {names[:200]}: it needs the "
            "Python code that comes with it, which is never run here."
        )


_LORA = re.compile(r".*\.lora_(A|B|embedding_A|embedding_B|magnitude_vector)(\..*)?")


def _wrapped(missing: list[str], beyond: list[str]) -> str:
    """What somebody's training put around a model, told by the names of its weights, and what
    would help; empty where it is nothing that is known."""
    if not missing or not beyond:
        return ""
    if any(_LORA.fullmatch(name) for name in beyond):
        return (
            f"it has LoRA weights beside the model's own ({beyond[0][:100]}). Merge them and save "
            "what comes out: model.merge_and_unload().save_pretrained(directory)."
        )
    pairs = ((own, name) for own in missing for name in beyond if name.endswith(f".{own}"))
    own, name = next(pairs, ("", ""))
    prefix = name.removesuffix(own)
    stored = {one.removeprefix(prefix) for one in beyond if one.startswith(prefix)}
    if not prefix or len(stored) < len(beyond) or not stored <= set(missing):
        return ""
    return (
        f"all of its weights are called “{prefix}…”, as a wrapper in training calls them "
        f"({name[:100]} for {own[:100]}). Save the model within: "
        f"{_WRAPPERS.get(prefix, 'the one in the wrapper')}.save_pretrained(directory)."
    )


_WRAPPERS = {
    "module.": "model.module",
    "_orig_mod.": "model._orig_mod",
    "base_model.model.": "model.merge_and_unload()",
}
"""What a wrapper calls its weights, and how the model within is reached."""
