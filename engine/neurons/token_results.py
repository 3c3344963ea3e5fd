"""What one neuron says and listens to, as numbers of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..experiment.sites import Neuron
from ..showing.writing import Rows

_NAMES = {"promotes": "promotes", "in": "moved by (in)", "gate": "moved by (gate)"}


@dataclass(frozen=True)
class TokenNumbers:
    """The tokens at both ends of a row of numbers: those with the greatest first, and those with
    the least first, with ids and texts. `spread`: the standard deviation over all tokens."""

    top_ids: tuple[int, ...]
    top_texts: tuple[str, ...]
    top: Float[np.ndarray, " k"]
    bottom_ids: tuple[int, ...]
    bottom_texts: tuple[str, ...]
    bottom: Float[np.ndarray, " k"]
    spread: float


@dataclass(frozen=True)
class NeuronTokens:
    """One neuron in tokens, of `n_tokens` there are.

    `promotes`: logits, above their mean over all tokens, per unit of activation in a stream of root
    mean square 1; positive: a positive activation raises the token. `reads`: what it would read
    before its activation function of a token's embedding alone, by "in" and, where there is one,
    "gate"; empty where that cannot be read off, which a note says. `notes`: sentences.
    """

    neuron: Neuron
    n_tokens: int
    promotes: TokenNumbers
    reads: Mapping[str, TokenNumbers]
    notes: tuple[str, ...]

    def table(self) -> Rows:
        """A row a token: of which numbers, at which end, its rank there (1 is outermost), its id,
        text and value."""
        return [
            {
                "neuron": str(self.neuron),
                "numbers": _NAMES[name],
                "end": end,
                "rank": i + 1,
                "id": token,
                "token": text,
                "value": float(value),
            }
            for name, one in {"promotes": self.promotes, **self.reads}.items()
            for end, ids, texts, values in (
                ("top", one.top_ids, one.top_texts, one.top),
                ("bottom", one.bottom_ids, one.bottom_texts, one.bottom),
            )
            for i, (token, text, value) in enumerate(zip(ids, texts, values, strict=True))
        ]
