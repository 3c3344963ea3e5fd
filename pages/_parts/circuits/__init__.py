"""The Circuits page."""

from pages._parts.page import Page

PAGE = Page("Circuits", ":material/schema:", place=60)
