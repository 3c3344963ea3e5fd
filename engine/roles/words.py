"""Words in order, the single tokens they are, and the texts in which they are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

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
    these are not asked for. `space`: the token that comes between, where this tokenizer writes the
    space before these words (digits, mostly) as a token of its own; else none."""

    words: tuple[str, ...]
    places: tuple[int, ...]
    ids: tuple[int, ...]
    left_out: tuple[str, ...]
    unspaced: tuple[int, ...] = ()
    space: tuple[int, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """The words, one an id."""
        return tuple(self.words[place] for place in self.places)

    @property
    def n_ids(self) -> float:
        """How many tokens a word may be, on average."""
        return 1 + sum(one >= 0 for one in self.unspaced) / len(self.ids)

    @property
    def spellings(self) -> np.ndarray:
        """The tokens that each word may be, [word spelling]: with a space, and, where that is asked
        for and another token, without."""
        others = self.unspaced or self.ids
        return np.array([(i, j if j >= 0 else i) for i, j in zip(self.ids, others, strict=True)])

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
    """The words as this tokenizer writes them after a space, behind another of them: in one token,
    or in a space and one token, whichever more of them are.

    Raises: NoWords where fewer than three of them are.
    """
    kinds: dict[tuple[int, ...], dict[int, int]] = {(): {}}
    for place, word in enumerate(words):
        own = _behind(model, words[1 if place == 0 else 0], word)
        if own:
            kinds.setdefault(own[:-1], {})[place] = own[-1]
    space, ids = max(kinds.items(), key=lambda kind: len(kind[1]))
    unspaced: tuple[int, ...] = ()
    if spelling == "either":
        bare = [_at_first(model, words[place])[-1:] for place in ids]
        unspaced = tuple(
            other[0] if other and other[0] != own else -1
            for other, own in zip(bare, ids.values(), strict=True)
        )
    left_out = _left_out(words, ids)
    return Tokens(tuple(words), tuple(ids), tuple(ids.values()), left_out, unspaced, space)


def read_in(model: Model, words: Sequence[str], context: str) -> tuple[Tokens, tuple[Reading, ...]]:
    """The words as they are read in texts of that context, one of CONTEXTS, and where.

    Raises: NoWords where fewer than three of them are one token; EngineError for too few words.
    """
    alone = tokens_of(model, words)
    if context == "alone":
        begins = (*model.tokenizer.encode("", None).ids, *alone.space)
        return alone, tuple(Reading((*begins, own), len(begins)) for own in alone.ids)
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
            own = _behind(model, before, word) if i else _at_first(model, word)
            if own and own[:-1] in ((), alone.space) and whole[at : at + len(own)] == own:
                places.append(start + i)
                ids.append(own[-1])
                readings.append(Reading(whole, at + len(own) - 1))
    left_out = _left_out(words[: starts[-1] + width], places)
    tokens = Tokens(tuple(words), tuple(places), tuple(ids), left_out, space=alone.space)
    return tokens, tuple(readings)


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
        if tokens.space:
            notes.append(
                f"The space before {tokens.named[0]} and its like is a token of its own here: a "
                "word is the token behind it."
            )
    return list(dict.fromkeys(notes))


def _behind(model: Model, before: str, word: str) -> tuple[int, ...]:
    """The one token that a word is behind others and a space, with the token of that space where it
    has one; none where it is several."""
    text = model.tokenizer.encode(before, None)
    own, _ = model.tokenizer.in_place(text, f" {word}")
    return _spaced(model, own) if model.tokenizer.writes(text, own, f" {word}") else ()


def _at_first(model: Model, word: str) -> tuple[int, ...]:
    """The same of a word at the beginning of a text."""
    begins, whole = (model.tokenizer.encode(text, None).ids for text in ("", word))
    return _spaced(model, whole[len(begins) :]) if whole[: len(begins)] == begins else ()


def _spaced(model: Model, own: tuple[int, ...]) -> tuple[int, ...]:
    """These tokens, where they are one, or a space and one; else none."""
    space = own[:-1]
    blank = not space or (len(space) == 1 and not model.tokenizer.decode(space).strip())
    return own if blank else ()


def _left_out(words: Sequence[str], places: Iterable[int]) -> tuple[str, ...]:
    """The words that are nowhere one token. Raises: NoWords where fewer than three are."""
    there = set(places)
    left_out = tuple(word for place, word in enumerate(words) if place not in there)
    if len(there) < _LEAST:
        raise NoWords(
            f"Words are scored that are one token each, and of these {len(words)} the tokenizer "
            f"splits {len(left_out)}: {', '.join(left_out[:6])}…"
        )
    return left_out
