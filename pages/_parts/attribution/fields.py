"""The fields of the link that the Attribution page draws."""

from pages._parts.fields import Choice, Text
from pages._parts.lens.fields import RUN

SHOWN = Choice("attributed", ("parts", "sources", "neurons", "total"))
HEAD = Text("source_head")
MLP = Text("neurons_of")
FIELDS = (RUN, SHOWN, HEAD, MLP)
