"""What the tokenizer of a model makes of a text."""

from __future__ import annotations

from .registry import load
from .results import Tokens


def tokenize(model: str, text: str, prepend_bos: bool | None = None) -> Tokens:
    """The tokens a model sees for a text: ids, raw pieces, texts, offsets and warnings.

    `prepend_bos` None does what the tokenizer does by itself.
    Raises: ModelError for a model that cannot be loaded, TokenError for text that is no Unicode.
    """
    return load(model).tokenizer.encode(text, prepend_bos)
