"""The text of a run as it grows, and the ids it would get if it were tokenized anew.

A model that appends ids can write what its tokenizer never would: `1` and `3` for `13`. Nothing
else shows it, for the text looks the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..experiment.results import Tokens
from .tokens import SPACE_BETWEEN, Tokenizer

_WINDOW = 100
"""Characters that are tokenized again and again; what lies further back is settled."""


class Rereading:
    """The prompt with what was generated after it, as text.

    Where the tokenizer can be cut at spaces, text that is far enough back is tokenized once and
    settled, so that a step of a long text costs what one of a short text does.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Tokens, generated: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._bytes = bytearray()
        self._settled = list(prompt.ids[: int(prompt.bos)])
        self._open = bytearray(prompt.text.encode())
        self.add(generated)

    def add(self, ids: Sequence[int]) -> None:
        """Write what these ids add."""
        for data in self._tokenizer.bytes_of(ids):
            self._bytes += data
            self._open += data

    @property
    def generated(self) -> str:
        """What was generated, with `�` for part of a character."""
        return self._bytes.decode("utf-8", errors="replace")

    def ids(self) -> list[int] | None:
        """The ids of the whole text tokenized anew, BOS as the prompt has it; None inside a
        character of several bytes."""
        try:
            text = self._open.decode("utf-8")
        except UnicodeDecodeError:
            return None
        if len(text) > 2 * _WINDOW and self._tokenizer.splits_at_spaces:
            text = self._settle(text)
        return [*self._settled, *self._ids(text)]

    def _settle(self, text: str) -> str:
        """Tokenize for good all but the last words of an open text. Returns: these."""
        cuts = [match.start() for match in SPACE_BETWEEN.finditer(text, 0, len(text) - _WINDOW)]
        if not cuts:
            return text
        self._settled += self._ids(text[: cuts[-1]])
        self._open = bytearray(text[cuts[-1] :].encode())
        return text[cuts[-1] :]

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.ids_of([text])[0]
