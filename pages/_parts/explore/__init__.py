"""The Explore page."""

from pages._parts.page import Page

PAGE = Page("Explore", ":material/toggle_on:", place=10)
