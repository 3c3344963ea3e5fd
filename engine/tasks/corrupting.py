"""A draft with its corrupted twin: the same words at the same places, with other terms."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

from ..experiment.results import Tokens
from ..text.tokens import Tokenizer
from .drafts import Draft
from .pairs import Pair

_FILLS = 60
"""Ways of filling a draft's gaps that are tried."""


@dataclass(frozen=True)
class Drawn:
    """A pair, its count of tokens, and where in the words they and the deciding token lie."""

    pair: Pair
    n_tokens: int
    places: Hashable


@dataclass(frozen=True)
class Clean:
    """The clean half of a pair: its tokens, what answer and distractor both begin with and now
    stands at its end, which of their tokens decides, and in which word each of its own ends."""

    prompt: Tokens
    shared: str
    decided: int
    places: tuple[int, ...]


Halves = dict[tuple[str, str, str], Clean | None]
"""Clean halves by the texts of prompt, answer and distractor; None for what cannot be one."""


class Lengths:
    """How many tokens a term adds, with what parts it from a word before, or first in a text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[tuple[str, str], int] = {}

    def of(self, terms: Sequence[str], between: str) -> list[int]:
        """The length of each term behind a word and `between`; first in a text, where that is
        empty."""
        new = [term for term in dict.fromkeys(terms) if (term, between) not in self._known]
        if new:
            texts = [f"x{between}{term}" for term in new] if between else new
            for term, ids in zip(new, self._tokenizer.ids_of(texts), strict=True):
                self._known[term, between] = len(ids) - (self._before if between else 0)
        return [self._known[term, between] for term in terms]

    @cached_property
    def _before(self) -> int:
        return len(self._tokenizer.ids_of(["x"])[0])


def with_twin(
    tokenizer: Tokenizer,
    lengths: Lengths,
    draft: Draft,
    rng: Random,
    in_step: bool,
    known: Halves,
) -> Drawn | None:
    """The draft with its corrupted twin, or None where no term fits or no token decides.

    `known`: the clean halves that were read already, by their texts; drafts come again and again.
    `in_step`: whether each word must have its tokens at the same positions in both.
    """
    text = draft.write(draft.terms)
    key = (text, draft.answer, draft.distractor)
    if key not in known:
        known[key] = clean_half(tokenizer, *key)
    clean = known[key]
    if clean is None:
        return None
    prompt, shared = clean.prompt, clean.shared
    corrupted = _corrupted(tokenizer, lengths, draft, clean, rng, in_step)
    if corrupted is None:
        return None
    pair = Pair(
        prompt.text, corrupted, draft.answer[len(shared) :], draft.distractor[len(shared) :]
    )
    return Drawn(pair, len(prompt), (clean.places, clean.decided))


def clean_half(tokenizer: Tokenizer, text: str, answer: str, distractor: str) -> Clean | None:
    """The clean half of a pair; None where no token decides, or some character is not there."""
    prompt, texts = tokenizer.encode(text), (answer, distractor)
    (ids, moved), (others, moves) = (tokenizer.in_place(prompt, one) for one in texts)
    decided = next((i for i, (a, d) in enumerate(zip(ids, others, strict=False)) if a != d), None)
    if decided is None or moved or moves:
        return None
    if not all(map(tokenizer.writes, (prompt, prompt), (ids, others), texts)):
        return None  # characters this vocabulary does not have
    shared = _shared(tokenizer, prompt, texts, ids[:decided])
    if shared:
        prompt, decided = tokenizer.encode(prompt.text + shared), 0
    return Clean(prompt, shared, decided, _places(prompt))


def _shared(
    tokenizer: Tokenizer, prompt: Tokens, texts: tuple[str, str], ids: tuple[int, ...]
) -> str:
    """What answer and distractor both begin with, where it can stand at the prompt's end and leave
    every token as it was; else nothing."""
    text = "".join(tokenizer.texts(ids, prompt.ids))
    whole = tokenizer.encode(prompt.text + text)
    if whole.ids != prompt.ids + ids:
        return ""
    for one in texts:
        if not one.startswith(text):
            return ""
        before, _ = tokenizer.in_place(prompt, one)
        rest, moves = tokenizer.in_place(whole, one[len(text) :])
        if moves or ids + rest != before:
            return ""
    return text


def _corrupted(
    tokenizer: Tokenizer,
    lengths: Lengths,
    draft: Draft,
    clean: Clean,
    rng: Random,
    in_step: bool,
) -> str | None:
    prompt, shared = clean.prompt, clean.shared
    choices = []
    for i, (term, others) in enumerate(zip(draft.terms, draft.others, strict=True)):
        between = "" if i == 0 and prompt.text.startswith(term) else draft.between
        (wanted,) = lengths.of([term], between)
        result = lengths.of(others, between)
        choices.append(
            [o for o, length in zip(others, result, strict=True) if length == wanted or not in_step]
        )
    if not all(choices):
        return None
    for _ in range(_FILLS):
        terms = [rng.choice(some) for some in choices]
        if draft.fits(terms):
            tokens = tokenizer.encode(draft.write(terms) + shared)
            same = tokens.offsets == prompt.offsets if draft.exact else True
            same = same and (not in_step or _places(tokens) == clean.places)
            if same and len(tokens) == len(prompt):
                return tokens.text
    return None


def _places(tokens: Tokens) -> tuple[int, ...]:
    """In which word each token ends, words being what spaces part."""
    return tuple(len(tokens.text[:end].split()) for _, end in tokens.offsets)
