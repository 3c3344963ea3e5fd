"""Words in order, the single tokens they are, and the texts in which they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import EngineError, NoWords
from ..experiment.numbers import whole_number
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
CONTEXTS = ("alone", "in fours", "in sequence")
"""Where a word is read: behind nothing but the BOS; in every prompt of four words in succession of
which the last has one after it, at each of its places, as in the code of Lan, Torr & Barez 2023; in
one prompt of all words."""
SPELLINGS = ("after a space", "either")
"""Which tokens a word that is looked for may be: the one it is after a space, or the one it is
without as well, where that is one token."""
MOST_WORDS = 200
_LEAST = 3


@dataclass(frozen=True)
class Tokens:
    """Those of a list of words that are one token: their places in the list, and their ids; a word
    that is read in several texts has several. `left_out`: the words that are not. `unspaced`: the
    ids of the same words without a space, −1 where that is no other single token; empty where
    these are not asked for."""

    words: tuple[str, ...]
    places: tuple[int, ...]
    ids: tuple[int, ...]
    left_out: tuple[str, ...]
    unspaced: tuple[int, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """The words, one an id."""
        return tuple(self.words[place] for place in self.places)

    @property
    def n_ids(self) -> float:
        """How many tokens a word may be, on average."""
        return 1 + sum(one >= 0 for one in self.unspaced) / len(self.ids)

    def pairs(self, outputs: Tokens, by: int) -> list[tuple[int, int]]:
        """Which of these is to give which of the others, `by` places on in the lists as they were
        given: indices into both. Raises: EngineError where that leaves none."""
        by = whole_number(by, "How many places on the word meant is")
        at = {place: j for j, place in enumerate(outputs.places)}
        found = [(i, at[p + by]) for i, p in enumerate(self.places) if p + by in at]
        if not found:
            raise EngineError(f"No word has another {by:+} places on that is one token.")
        return found


@dataclass(frozen=True)
class Reading:
    """Where a word's token is read: the ids of a text, and its position there."""

    ids: tuple[int, ...]
    at: int


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


def tokens_of(model: Model, words: Sequence[str], spelling: str = SPELLINGS[0]) -> Tokens:
    """The words as this tokenizer writes them after a space, behind another of them.

    Raises: NoWords where fewer than three of them are one token.
    """
    places: list[int] = []
    ids: list[int] = []
    for place, word in enumerate(words):
        own = _one_token(model, words[1 if place == 0 else 0], word)
        if own is not None:
            places.append(place)
            ids.append(own)
    unspaced: tuple[int, ...] = ()
    if spelling == "either":
        bare = {place: _unspaced(model, words[place]) for place in places}
        unspaced = tuple(
            -1 if bare[place] in (None, own) else int(bare[place] or 0)
            for place, own in zip(places, ids, strict=True)
        )
    return Tokens(tuple(words), tuple(places), tuple(ids), _left_out(words, places), unspaced)


def read_in(model: Model, words: Sequence[str], context: str) -> tuple[Tokens, tuple[Reading, ...]]:
    """The words as they are read in texts of that context, one of CONTEXTS, and where.

    Raises: NoWords where fewer than three of them are one token; EngineError for too few words.
    """
    if context == "alone":
        tokens, begins = tokens_of(model, words), model.tokenizer.encode("", None).ids
        return tokens, tuple(Reading((*begins, own), len(begins)) for own in tokens.ids)
    width = 4 if context == "in fours" else len(words)
    starts = range(max(1, len(words) - width))
    if len(words) < width + (context == "in fours"):
        raise EngineError(f"Prompts of four words need five words or more, not {len(words)}.")
    places: list[int] = []
    ids: list[int] = []
    readings: list[Reading] = []
    for start in starts:
        some = words[start : start + width]
        whole = model.tokenizer.encode(" ".join(some), None).ids
        for i, word in enumerate(some):
            before = " ".join(some[:i])
            at = len(model.tokenizer.encode(before, None).ids)
            own = _one_token(model, before, word) if i else _unspaced(model, word)
            if own is not None and whole[at : at + 1] == (own,):
                places.append(start + i)
                ids.append(own)
                readings.append(Reading(whole, at))
    of = words[: starts[-1] + width]
    return Tokens(tuple(words), tuple(places), tuple(ids), _left_out(of, places)), tuple(readings)


def notes_of(*lists: Tokens) -> list[str]:
    """What was left out of lists of words, in a sentence each."""
    notes = []
    for tokens in dict.fromkeys(lists):
        if tokens.left_out:
            some = ", ".join(tokens.left_out[:8]) + ("…" if len(tokens.left_out) > 8 else "")
            notes.append(
                f"{len(tokens.left_out)} of {len(tokens.words)} words are several tokens here and "
                f"left out: {some}."
            )
    return notes


def _one_token(model: Model, before: str, word: str) -> int | None:
    """The one token that a word is behind others and a space; None where it is several."""
    text = model.tokenizer.encode(before, None)
    own, _ = model.tokenizer.in_place(text, f" {word}")
    return own[0] if len(own) == 1 and model.tokenizer.writes(text, own, f" {word}") else None


def _unspaced(model: Model, word: str) -> int | None:
    """The one token that a word is at the beginning of a text; None where it is several."""
    begins, whole = (model.tokenizer.encode(text, None).ids for text in ("", word))
    own = whole[len(begins) :]
    return own[0] if len(own) == 1 and whole[: len(begins)] == begins else None


def _left_out(words: Sequence[str], places: Sequence[int]) -> tuple[str, ...]:
    """The words that are nowhere one token. Raises: NoWords where fewer than three are."""
    there = set(places)
    left_out = tuple(word for place, word in enumerate(words) if place not in there)
    if len(there) < _LEAST:
        raise NoWords(
            f"Words are scored that are one token each, and of these {len(words)} the tokenizer "
            f"splits {len(left_out)}: {', '.join(left_out[:6])}…"
        )
    return left_out
