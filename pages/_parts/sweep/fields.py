"""The fields of the link that the Sweep page draws."""

import engine
from pages._parts import pairs_form
from pages._parts.fields import Choice

BASELINE = Choice("baseline", ("clean", "given"))
PER = Choice("per", ("site", "position"))
METRIC = Choice("metric", tuple(engine.METRICS))
ASPECT = Choice("aspect", tuple(engine.ASPECTS))
FIELDS = (*pairs_form.FIELDS, BASELINE, PER, METRIC, ASPECT)
