"""What a reader must know of a text that was tokenized: what is lost, or read otherwise."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Protocol

from .round_trip import Difference, Fate, Spelt, differences, spelt
from .surprises import hidden_characters, not_read_back, nothing_left, swallowed


class Reader(Protocol):
    """What is asked of a tokenizer: a Tokenizer. `special`: its special tokens by id;
    `adds_no_others`: by itself it adds no tokens but BOS."""

    bos_id: int | None
    special: dict[int, str]
    adds_no_others: bool

    @property
    def hf(self) -> Any: ...

    def decode(self, ids: Sequence[int]) -> str: ...

    def bytes_of(self, ids: Sequence[int], before: Sequence[int] = ()) -> tuple[bytes, ...]: ...

    def ids_if(self, text: str) -> list[int] | None: ...

    def begins_with_space(self, ids: Sequence[int]) -> bool: ...


class Notices:
    """Makes the warnings of one tokenizer's texts."""

    def __init__(self, tokenizer: Reader) -> None:
        self._reader = tokenizer

    @cached_property
    def _markers(self) -> dict[int, str]:
        """The tokens that are matched as a whole before the rest of a text is read."""
        return {int(i): str(t) for i, t in self._reader.hf.added_tokens_decoder.items()}

    @cached_property
    def _unknown(self) -> frozenset[int]:
        """The ids that stand for whatever the vocabulary does not have."""
        model: Any = getattr(getattr(self._reader.hf, "backend_tokenizer", None), "model", None)
        own = getattr(model, "unk_token", None)
        ids = [
            self._reader.hf.unk_token_id,
            self._reader.hf.get_vocab().get(own) if own else None,
        ]
        if type(model).__name__ == "Unigram":
            ids.append(json.loads(model.__getstate__()).get("unk_id"))
        return frozenset(int(i) for i in ids if i is not None)

    def of(
        self, text: str, ids: list[int], offsets: list[tuple[int, int]], bos: bool
    ) -> tuple[str, ...]:
        """What a reader must know of a text that became these ids, without BOS, in sentences."""
        decoded = self._reader.decode(ids)
        plain = decoded == text and not any(i in self._markers for i in ids)
        result = () if plain else self._differences(text, ids, offsets)
        lost = {
            at
            for one in result or ()
            if one.fate is not Fate.ADDED
            for at in range(one.start, one.end)
        }
        notes: list[str] = []
        special = self._first_special(text, ids, offsets)
        if bos and ids[:1] == [self._reader.bos_id]:
            name = self._reader.special.get(ids[0], "BOS")
            notes.append(
                f"The prompt begins with {name} and BOS is on: the "
                "model sees it twice. Remove it from the prompt, or switch BOS off."
            )
        elif special:
            notes.append(
                f"{special} in the text is read as one special token, not as its letters. Put a "
                "space inside it if the letters are meant."
            )
        if text.endswith(" ") and len(text) - 1 not in lost:
            notes.append(
                "The prompt ends in a space, which usually changes the answer: most vocabularies "
                "put the space in front of the next token. Leave it out here, and begin the answer "
                "with it."
            )
        notes += swallowed(text, result or ())
        if text and not ids:
            notes.append(f"BOS is all the model reads. {nothing_left(text)}")
        elif decoded != text:
            same = result is not None and self._reader.ids_if(spelt(text, result)) == ids
            notes.append(
                not_read_back(text, decoded, result, same, self._reader.begins_with_space(ids))
            )
        notes += hidden_characters(text, lost)
        if not self._reader.adds_no_others:
            notes.append(
                "By itself this tokenizer adds tokens other than BOS; they are left out. Write "
                "them into the prompt if the model needs them."
            )
        return tuple(notes)

    def _differences(
        self, text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]]
    ) -> tuple[Difference, ...] | None:
        """Where the tokens do not spell the text; None where that cannot be told."""
        tokens = [
            Spelt(start, end, data, self._markers.get(i, ""), i in self._unknown)
            for i, (start, end), data in zip(ids, offsets, self._reader.bytes_of(ids), strict=True)
        ]
        result = differences(text, tokens, self._reader.hf.is_fast)
        if (
            result
            and result[0] == Difference(0, 0, Fate.ADDED, " ")
            and self._reader.begins_with_space(ids)
        ):
            return result if self._reader.decode(ids).startswith(" ") else result[1:]
        return result

    def _first_special(
        self, text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]]
    ) -> str:
        """The first special token that is written in the text, not put in an unknown's place."""
        for i, (start, end) in zip(ids, offsets, strict=True):
            name = self._reader.special.get(i, "")
            if name and (i not in self._unknown or name in (text[start:end] or text)):
                return name
        return ""
