"""The fields of the link that the Attention page draws."""

import engine
from pages._parts.fields import Choice, Text

RUN = Choice("run", ("clean", "ablated", "difference"))
WEIGHT = Choice("weight", ("pattern", "value"))
SCORE = Choice("score", tuple(engine.SCORES))
HEADS = Text("heads", "0.0")
FIELDS = (RUN, WEIGHT, SCORE, HEADS)
ROLE = "_role"
"""Where a session keeps which chip was clicked last: how many were, and its number of heads."""
