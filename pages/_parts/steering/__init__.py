"""The Steering page."""

from pages._parts.page import Page

PAGE = Page("Steering", ":material/assistant_direction:", place=48)
