"""How texts and numbers are written for people: the engine's way, and Markdown's."""

import re
from typing import Protocol

from engine import EngineError, percent, points, signed, token_text, visible

__all__ = [
    "File", "decimal", "escaped", "percent", "plain", "points", "signed", "token_text", "unescaped",
    "uploaded", "visible",
]  # fmt: skip


class File(Protocol):
    """What Streamlit gives of an uploaded file."""

    name: str

    def getvalue(self) -> bytes:
        """What is in it."""


def uploaded(file: File) -> str:
    """The text of an uploaded file. Raises: EngineError where it is no UTF-8."""
    try:
        return file.getvalue().decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise EngineError(f"{file.name} cannot be read as UTF-8 text: {wrong}.") from wrong


def decimal(x: float, digits: int = 2) -> str:
    """A number with so many decimals: as `signed`, without the plus."""
    return signed(x, digits).removeprefix("+")


def plain(text: object) -> str:
    """A text that Streamlit's Markdown shows letter by letter: no images, formulas or colours."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", str(text))


def escaped(text: str) -> str:
    """A prompt as it is written on one line of a box: a line break is `\\n`, a backslash two."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def unescaped(line: str) -> str:
    """The prompt that is written on one line."""
    marks = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
    return re.sub(r"\\[\\nr]", lambda mark: marks[mark[0]], line)
