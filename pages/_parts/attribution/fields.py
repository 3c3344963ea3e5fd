"""The fields of the link that the Attribution page draws."""

from pages._parts import pairs_form
from pages._parts.fields import Choice, Text
from pages._parts.lens.fields import RUN

SHOWN = Choice("attributed", ("parts", "sources", "neurons", "total", "gradients"))
HEAD = Text("source_head")
MLP = Text("neurons_of")
FIELDS = (
    *pairs_form.FIELDS,
    RUN,
    SHOWN,
    HEAD,
    MLP,
    Choice("gradients_of", ("nodes", "edges")),
    Text("gradient_steps", "5"),
    Text("gradients_into", "logits"),
    Choice("gradients_show", ("score", "exact")),
)
