"""The Generate page."""

from pages._parts.page import Page

PAGE = Page("Generate", ":material/notes:", place=70)
