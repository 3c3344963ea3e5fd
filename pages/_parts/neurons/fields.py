"""The fields of the link that the Neurons page draws."""

from pages._parts import pairs_form
from pages._parts.fields import Choice, Text
from pages._parts.sweep.fields import BASELINE

SHOWN = Choice("neurons_show", ("ranked", "one", "sets"))
READ_IN = Choice("contexts_in", ("family", "written"))
FIRST_SET = Choice("first_set", ("english", "spanish", "own"))
SECOND_SET = Choice("second_set", ("spanish", "english", "own"))
THIRD_SET = Choice("third_set", ("none", "english", "spanish", "own"))
SETS = {FIRST_SET: "first_own", SECOND_SET: "second_own", THIRD_SET: "third_own"}
"""The sets compared, and the boxes of those that are one's own."""
FIELDS = (
    *pairs_form.FIELDS,
    BASELINE,
    SHOWN,
    READ_IN,
    Text("neurons_layer"),
    Text("neurons_exact", "20"),
    Text("neuron"),
    Text("context_text"),
    *SETS,
    *map(Text, SETS.values()),
    Choice("selective_by", ("entropy", "precision")),
    Text("selective_share", "1"),
    Choice("selective_does", ("silence", "force")),
    Text("control_draws", "10"),
    Text("language_seed", "0"),
)
