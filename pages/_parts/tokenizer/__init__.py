"""The Tokenizer page."""

from pages._parts.page import Page

PAGE = Page("Tokenizer", ":material/text_fields:", place=20)
