"""The text of a run as it grows, and the ids it would get if it were tokenized anew.

A model that appends ids can write what its tokenizer never would: `1` and `3` for `13`. Nothing
else shows it, for the text looks the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..experiment.results import Tokens
from .spaces import SPACE_BETWEEN
from .tokens import Tokenizer

_WINDOW = 100
"""Characters that are tokenized again and again; what lies further back is settled."""


class Rereading:
    """The prompt with what was generated after it, as text.

    Where the tokenizer can be cut at spaces, text that is far enough back is tokenized once and
    settled, so that a step of a long text costs what one of a short text does.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Tokens, generated: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._writing = tokenizer.writing(prompt.ids)
        self._generated: list[str] = []
        self._settled = list(prompt.ids[: int(prompt.bos)])
        self._open = prompt.text
        self.add(generated)

    def add(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Write ids behind the text. Returns: what each adds, `�` for part of a character."""
        texts = []
        for token in ids:
            data, settled = self._writing.add(int(token))
            texts.append(data.decode("utf-8", errors="replace"))
            self._generated.append(settled)
            self._open += settled
        return tuple(texts)

    def each(self, ids: Sequence[int]) -> tuple[str, ...]:
        """What each of these tokens would add, were it the next."""
        result = self._writing.each(ids)
        return tuple(data.decode("utf-8", errors="replace") for data in result)

    @property
    def generated(self) -> str:
        """What was generated, with `�` for part of a character."""
        return "".join(self._generated) + self._writing.tail

    def ids(self) -> list[int] | None:
        """The ids of the whole text tokenized anew, BOS as the prompt has it; None inside a
        character of several bytes."""
        if self._writing.broken:
            return None
        if len(self._open) > 2 * _WINDOW and self._tokenizer.splits_at_spaces:
            self._settle()
        return [*self._settled, *self._ids(self._open + self._writing.tail)]

    def _settle(self) -> None:
        """Tokenize for good all but the last words of the open text."""
        end = len(self._open) - _WINDOW
        cuts = [match.start() for match in SPACE_BETWEEN.finditer(self._open, 0, end)]
        if cuts:
            self._settled += self._ids(self._open[: cuts[-1]])
            self._open = self._open[cuts[-1] :]

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.ids_of([text])[0]
