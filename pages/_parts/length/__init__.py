"""The Length page."""

from pages._parts.page import Page

PAGE = Page("Length", ":material/straighten:", place=55)
