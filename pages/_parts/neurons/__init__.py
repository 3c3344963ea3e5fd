"""The Neurons page."""

from pages._parts.page import Page

PAGE = Page("Neurons", ":material/neurology:", place=47)
