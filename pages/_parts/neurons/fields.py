"""The fields of the link that the Neurons page draws."""

from pages._parts import pairs_form
from pages._parts.fields import Choice, Text
from pages._parts.sweep.fields import BASELINE

SHOWN = Choice("neurons_show", ("ranked", "one"))
READ_IN = Choice("contexts_in", ("family", "written"))
FIELDS = (
    *pairs_form.FIELDS,
    BASELINE,
    SHOWN,
    READ_IN,
    Text("neurons_layer"),
    Text("neurons_exact", "20"),
    Text("neuron"),
    Text("context_text"),
)
