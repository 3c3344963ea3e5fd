"""The fields of the link that the Length page draws."""

import engine
from pages._parts import pairs_form
from pages._parts.fields import Choice

LENGTH_METRIC = Choice("length_metric", engine.LENGTH_METRICS)
FIELDS = (*pairs_form.FIELDS, LENGTH_METRIC)
