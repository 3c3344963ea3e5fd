"""Words in order, and the single tokens they are after a space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import EngineError, NoWords
from ..model.model import Model
from ..tasks.families import (
    LETTERS,
    MONTHS,
    NUMBER_WORDS,
    ORDINAL_WORDS,
    SPANISH_MONTHS,
    SPANISH_NUMBERS,
    WEEKDAYS,
)

WORD_LISTS: dict[str, tuple[str, ...]] = {
    "months": tuple(MONTHS),
    "number words": tuple(NUMBER_WORDS[:20]),
    "numerals": tuple(map(str, range(1, 21))),
    "weekdays": tuple(WEEKDAYS),
    "letters": tuple(LETTERS),
    "ordinals": tuple(ORDINAL_WORDS),
    "Spanish numbers": tuple(SPANISH_NUMBERS),
    "Spanish months": tuple(SPANISH_MONTHS),
}
"""Words in the order in which one follows the other."""
MOST_WORDS = 200
_LEAST = 3


@dataclass(frozen=True)
class Tokens:
    """Those of a list of words that are one token after a space: their places in the list, and
    their ids. `left_out`: the words that are not."""

    words: tuple[str, ...]
    places: tuple[int, ...]
    ids: tuple[int, ...]
    left_out: tuple[str, ...]


def read_words(words: str | Sequence[str]) -> tuple[str, ...]:
    """Words, or those of the list of that name. Raises: EngineError for what is neither."""
    if isinstance(words, str):
        if words not in WORD_LISTS:
            raise EngineError(
                f"There is no list “{words[:40]}”; there are {', '.join(WORD_LISTS)}, or give "
                "words of your own."
            )
        return WORD_LISTS[words]
    result = tuple(words)
    for word in result:
        if not isinstance(word, str) or not word.strip():
            raise EngineError(f"A word is a text that is not blank, not {word!r:.40}.")
    result = tuple(word.strip() for word in result)
    if not _LEAST <= len(result) <= MOST_WORDS or len(set(result)) < len(result):
        raise EngineError(
            f"There are {_LEAST} to {MOST_WORDS} words, none of them twice; these are "
            f"{len(result):,}, {len(set(result)):,} of them different."
        )
    return result


def tokens_of(model: Model, words: Sequence[str]) -> Tokens:
    """The words as this tokenizer writes them after a space, behind another of them.

    Raises: NoWords where fewer than three of them are one token.
    """
    places: list[int] = []
    ids: list[int] = []
    for place, word in enumerate(words):
        before = model.tokenizer.encode(words[1 if place == 0 else 0], None)
        own, _ = model.tokenizer.in_place(before, f" {word}")
        if len(own) == 1 and model.tokenizer.writes(before, own, f" {word}"):
            places.append(place)
            ids.append(own[0])
    left_out = tuple(word for place, word in enumerate(words) if place not in set(places))
    if len(ids) < _LEAST:
        raise NoWords(
            f"Words are scored that are one token each, and of these {len(words)} the tokenizer "
            f"splits {len(left_out)}: {', '.join(left_out[:6])}…"
        )
    return Tokens(tuple(words), tuple(places), tuple(ids), left_out)
