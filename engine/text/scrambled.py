"""A prompt's twin with nothing to continue, made from its text alone."""

from __future__ import annotations

import re
from random import Random

from ..experiment.results import Tokens
from .tokens import Tokenizer

_TRIES = 200


def scrambled(tokenizer: Tokenizer, prompt: Tokens) -> str | None:
    """A text of as many tokens as a prompt: its words in another order, each number another of as
    many digits. The same at every call.

    Returns: it; None where none was found that has as many tokens, as for a single word.
    """
    if not prompt.text.strip():
        return None
    words, spaces = re.split(r"\s+", prompt.text), re.findall(r"\s+", prompt.text)
    rng = Random(0)
    for _ in range(_TRIES):
        mixed = [re.sub(r"[0-9]+", lambda number: _other(rng, number[0]), word) for word in words]
        first, last = not mixed[0], not mixed[-1]  # where the text begins or ends with a space
        inner = mixed[first : len(mixed) - last]
        rng.shuffle(inner)
        mixed = [*[""] * first, *inner, *[""] * last]
        text = mixed[0] + "".join(a + b for a, b in zip(spaces, mixed[1:], strict=True))
        if text != prompt.text and len(tokenizer.encode(text, prompt.bos)) == len(prompt):
            return text
    return None


def _other(rng: Random, number: str) -> str:
    """Another number of as many digits, none of them a 0 in front."""
    return "".join(str(rng.randint(0 if i else 1, 9)) for i in range(len(number)))
