"""The Roles page."""

from pages._parts.page import Page

PAGE = Page("Roles", ":material/badge:", place=45)
