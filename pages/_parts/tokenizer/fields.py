"""The fields of the link that the Tokenizer page draws."""

from pages._parts.fields import Choice

SHOW = Choice(
    "show", ("tokens", "twins", "tokenizers", "sentencepiece", "numbers", "answer", "batch")
)
FIELDS = (SHOW,)
