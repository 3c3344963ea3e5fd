"""The fields of the link that the Logit lens page draws."""

import engine
from pages._parts.explore.fields import AT
from pages._parts.fields import Choice

RUN = Choice("run", ("clean", "ablated", "difference"))
STREAM = Choice("stream", engine.STREAMS)
BY = Choice("by", tuple(engine.MEASURES))
SPAN = Choice("span", ("last", "all"))
TOP = Choice("top", ("5", "10", "20"))
FOLLOW = Choice("follow", tuple(engine.TRACES))
FIELDS = (RUN, STREAM, BY, SPAN, TOP, FOLLOW, AT)
