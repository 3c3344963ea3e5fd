"""The Attention page."""

from pages._parts.page import Page

PAGE = Page("Attention", ":material/grid_on:", place=40)
