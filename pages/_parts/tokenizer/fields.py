"""The fields of the link that the Tokenizer page draws."""

from pages._parts.fields import Choice, Text

SHOW = Choice(
    "show", ("tokens", "twins", "tokenizers", "sentencepiece", "numbers", "answer", "batch")
)
OTHERS = Text("other_tokenizers")
"""The tokenizers compared, a line each; none means those of all models that are known."""
FIELDS = (SHOW, OTHERS)
