"""The fields of the link that the Roles page draws."""

import engine
from pages._parts import pairs_form
from pages._parts.attention.fields import HEADS, SCORE
from pages._parts.attribution.fields import HEAD
from pages._parts.fields import Choice, Text
from pages._parts.lens.fields import RUN

OWN = "your own"
SAME = "the same words"
SHOWN = Choice("roles_show", ("writes", "attends", "reads", "patterns", "card"))
INPUTS = Choice("role_words", (*engine.WORD_LISTS, OWN))
OUTPUTS = Choice("role_outputs", (SAME, *engine.WORD_LISTS))
TAKEN_FOR = Choice("taken_for", engine.EMBEDDINGS)
READ_IN = Choice("read_in", engine.CONTEXTS)
COUNTS_AS = Choice("counts_as", engine.SPELLINGS)
LOOKED_AT = Text("role_head")
COMPOSED = Choice("composed_into", ("k", "q", "v"))
FIELDS = (
    *pairs_form.FIELDS,
    RUN,
    SCORE,
    HEADS,
    HEAD,
    SHOWN,
    INPUTS,
    OUTPUTS,
    TAKEN_FOR,
    READ_IN,
    COUNTS_AS,
    COMPOSED,
    Text("own_words", "one two three four five"),
    Text("places_on", "1"),
    Text("top_tokens", "5"),
    LOOKED_AT,
    Text("looks_on", "0"),
    Text("looked_distance", "1"),
    Text("keys_through"),
)
