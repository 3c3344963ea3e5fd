"""The Features page."""

from pages._parts.page import Page

PAGE = Page("Features", ":material/scatter_plot:", place=48)
