"""The fields of the link that the Roles page draws."""

import engine
from pages._parts.fields import Choice, Text

OWN = "your own"
SAME = "the same words"
INPUTS = Choice("role_words", (*engine.WORD_LISTS, OWN))
OUTPUTS = Choice("role_outputs", (SAME, *engine.WORD_LISTS))
TAKEN_FOR = Choice("taken_for", engine.EMBEDDINGS)
FIELDS = (
    INPUTS,
    OUTPUTS,
    TAKEN_FOR,
    Text("own_words", "one two three four five"),
    Text("places_on", "1"),
    Text("top_tokens", "5"),
    Text("role_head"),
)
