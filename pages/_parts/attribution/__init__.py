"""The Attribution page."""

from pages._parts.page import Page

PAGE = Page("Attribution", ":material/call_merge:", place=35)
