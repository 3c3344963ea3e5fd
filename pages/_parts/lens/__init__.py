"""The Logit lens page."""

from pages._parts.page import Page

PAGE = Page("Logit lens", ":material/layers:", place=30)
