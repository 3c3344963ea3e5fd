"""The text of ids as a Hugging Face tokenizer has it, past what takes it longer than reading."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerFast

_AT_ONCE = 64
_USUAL = {way: getattr(PreTrainedTokenizerFast, way, None) for way in ("decode", "_decode")}


def decoded(hf: Any, texts: list[list[int]]) -> list[str]:
    """The text of each of these lists of ids, all of which have a token; '' for an empty one."""
    if any(getattr(type(hf), way, None) is not of for way, of in _USUAL.items()):  # it may do more
        return [hf.decode(ids, clean_up_tokenization_spaces=False) if ids else "" for ids in texts]
    backend = hf.backend_tokenizer
    if len(texts) > _AT_ONCE and all(texts):
        return list(backend.decode_batch(texts, skip_special_tokens=False))
    return [backend.decode(ids, skip_special_tokens=False) if ids else "" for ids in texts]
