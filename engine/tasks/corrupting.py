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


class Lengths:
    """How many tokens a term has, at the beginning of a text and behind a word."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[tuple[str, bool], int] = {}

    def of(self, terms: Sequence[str], first: bool) -> list[int]:
        """The length of each term."""
        new = [term for term in dict.fromkeys(terms) if (term, first) not in self._known]
        if new:
            texts = new if first else [f"x {term}" for term in new]
            for term, ids in zip(new, self._tokenizer.ids_of(texts), strict=True):
                self._known[term, first] = len(ids) - (0 if first else self._before)
        return [self._known[term, first] for term in terms]

    @cached_property
    def _before(self) -> int:
        return len(self._tokenizer.ids_of(["x"])[0])


def with_twin(
    tokenizer: Tokenizer, lengths: Lengths, draft: Draft, rng: Random, in_step: bool
) -> Drawn | None:
    """The draft with its corrupted twin, or None where no term fits or no token decides.

    `in_step`: whether each word must have its tokens at the same positions in both.
    """
    prompt = tokenizer.encode(draft.write(draft.terms))
    (answer, moved), (distractor, moves) = (
        tokenizer.in_place(prompt, text) for text in (draft.answer, draft.distractor)
    )
    decided = next(
        (i for i, (a, d) in enumerate(zip(answer, distractor, strict=False)) if a != d), None
    )
    if decided is None or moved or moves:
        return None
    texts = ((answer, draft.answer), (distractor, draft.distractor))
    if not all(tokenizer.writes(prompt, ids, text) for ids, text in texts):
        return None  # characters this vocabulary does not have
    shared = _shared(tokenizer, prompt, draft, answer[:decided])
    if shared:
        prompt, decided = tokenizer.encode(prompt.text + shared), 0
    corrupted = _corrupted(tokenizer, lengths, draft, prompt, shared, rng, in_step)
    if corrupted is None:
        return None
    pair = Pair(
        prompt.text, corrupted, draft.answer[len(shared) :], draft.distractor[len(shared) :]
    )
    return Drawn(pair, len(prompt), (_places(prompt), decided))


def _shared(tokenizer: Tokenizer, prompt: Tokens, draft: Draft, ids: tuple[int, ...]) -> str:
    """What answer and distractor both begin with, where it can stand at the prompt's end and leave
    every token as it was; else nothing."""
    text = "".join(tokenizer.texts(ids, prompt.ids))
    whole = tokenizer.encode(prompt.text + text)
    if whole.ids != prompt.ids + ids:
        return ""
    for one in (draft.answer, draft.distractor):
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
    prompt: Tokens,
    shared: str,
    rng: Random,
    in_step: bool,
) -> str | None:
    choices = []
    for i, (term, others) in enumerate(zip(draft.terms, draft.others, strict=True)):
        first = i == 0 and prompt.text.startswith(term)
        (wanted,) = lengths.of([term], first)
        found = lengths.of(others, first)
        choices.append(
            [o for o, length in zip(others, found, strict=True) if length == wanted or not in_step]
        )
    if not all(choices):
        return None
    for _ in range(_FILLS):
        terms = [rng.choice(some) for some in choices]
        if draft.fits(terms):
            tokens = tokenizer.encode(draft.write(terms) + shared)
            same = tokens.offsets == prompt.offsets if draft.exact else True
            same = same and (not in_step or _places(tokens) == _places(prompt))
            if same and len(tokens) == len(prompt):
                return tokens.text
    return None


def _places(tokens: Tokens) -> tuple[int, ...]:
    """In which word each token ends, words being what spaces part."""
    return tuple(len(tokens.text[:end].split()) for _, end in tokens.offsets)
