"""The fields of the link that the Patching page draws."""

import engine
from pages._parts import pairs_form
from pages._parts.fields import Choice

PLACE = Choice("place", tuple(engine.PATCH_PLACES))
WAY = Choice("way", tuple(engine.PATCH_DIRECTIONS))
PATCHED_AT = Choice("patched_at", ("whole", "position"))
PATCH_SHOWS = Choice("patch_shows", tuple(engine.PATCH_ASPECTS))
FIELDS = (*pairs_form.FIELDS, PLACE, WAY, PATCHED_AT, PATCH_SHOWS)
