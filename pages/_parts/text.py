"""How texts and numbers are written for people: the engine's way, and Markdown's."""

import re

from engine import percent, signed, visible

__all__ = ["percent", "plain", "signed", "visible"]


def plain(text: object) -> str:
    """A text that Streamlit's Markdown shows letter by letter: no images, formulas or colours."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", str(text))
