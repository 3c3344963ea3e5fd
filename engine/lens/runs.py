"""What the lens says of one run: the best tokens of every cell, and two tokens followed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Trace:
    """One token followed through the layers, shape [layer pos] each.

    `token`: its piece; `text`: what it adds to the text. `logits`, `log_probs` (natural logarithm),
    `ranks` (1 is best; equal logits by id).
    """

    token: str
    text: str
    logits: Float[np.ndarray, "layer pos"]
    log_probs: Float[np.ndarray, "layer pos"]
    ranks: Int[np.ndarray, "layer pos"]


@dataclass(frozen=True)
class LensRun:
    """The lens of one run.

    `ids`, `log_probs` (natural logarithm), `probs` (0 to 1, over the whole vocabulary) of the k
    best tokens, best first, and `moves`, how many places each stands higher than at the layer
    before (positive: it rose; 0 in the first row): [layer pos k]. `entropy`, in nats, and
    `divergence` from the model's output, KL(output ‖ lens) in nats: [layer pos]. `answer` and
    `distractor`: None without them. `leads_from`: the first layer at which the answer ranks first
    at the last position, None where it never does.
    """

    ids: Int[np.ndarray, "layer pos k"]
    log_probs: Float[np.ndarray, "layer pos k"]
    probs: Float[np.ndarray, "layer pos k"]
    moves: Int[np.ndarray, "layer pos k"]
    entropy: Float[np.ndarray, "layer pos"]
    divergence: Float[np.ndarray, "layer pos"]
    answer: Trace | None
    distractor: Trace | None
    leads_from: int | None

    def values(self, measure: str) -> np.ndarray:
        """One number a cell, [layer pos]: "prob" of the best token (0 to 1), "entropy" or
        "divergence" (nats), or "rank" of the answer (1 is best).

        Raises: KeyError for another measure, and for "rank" without an answer.
        """
        if measure == "rank" and self.answer is not None:
            return self.answer.ranks
        return {
            "prob": self.probs[..., 0],
            "entropy": self.entropy,
            "divergence": self.divergence,
        }[measure]
