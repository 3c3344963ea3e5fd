"""The Sweep page."""

from pages._parts.page import Page

PAGE = Page("Sweep", ":material/radar:", place=50)
