"""The fields of the link that the Explore page draws."""

from pages._parts.fields import Choice

AT = Choice("at", ("answer", "prompt"))
FIELDS = (AT,)
