"""The Patching page."""

from pages._parts.page import Page

PAGE = Page("Patching", ":material/swap_horiz:", place=52)
