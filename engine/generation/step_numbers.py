"""What is kept of the logits of one step: a few numbers a run, taken off the device at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..model.model import Model
from ..passes.ordering import best, ranks
from ..passes.overflow import overflow


@dataclass(frozen=True)
class StepNumbers:
    """Of each run: the token taken, the best k, and the distribution's entropy; and the runs' KL.

    `taken` [runs], `log_prob`, `rank`, `entropy` alike; `ids` `logits` `log_probs` `moves`
    [runs k], as in results.Ranking. `kl` in nats, from the first run to the one it is held against.
    """

    taken: Int[np.ndarray, " runs"]
    log_prob: Float[np.ndarray, " runs"]
    rank: Int[np.ndarray, " runs"]
    entropy: Float[np.ndarray, " runs"]
    ids: Int[np.ndarray, "runs k"]
    logits: Float[np.ndarray, "runs k"]
    log_probs: Float[np.ndarray, "runs k"]
    moves: Int[np.ndarray, "runs k"]
    kl: float


def summarize(model: Model, logits: Tensor, taken: Tensor, k: int, against: int = 0) -> StepNumbers:
    """Measure logits [runs d_vocab] of some runs, of which tokens [runs] were taken.

    Every run is held against the first, and the first against the run of number `against`.
    Raises: EngineError where the model's numbers overflow.
    """
    top = best(logits, k)
    log_probs = logits.log_softmax(-1)
    probs = log_probs.exp()
    entropy = -(probs * log_probs).nan_to_num().sum(-1)
    kl = (probs[0] * (log_probs[0] - log_probs[against])).nan_to_num().sum().expand(len(taken))
    here = torch.arange(1, top.shape[1] + 1, device=logits.device)
    moves = torch.zeros_like(top)
    if len(taken) > 1:
        moves = ranks(logits[[against, *[0] * (len(taken) - 1)]], top) - here
    own = taken[:, None]
    columns = (own, log_probs.gather(1, own), ranks(logits, own), entropy[:, None], kl[:, None])
    wide = (top, logits.gather(1, top), log_probs.gather(1, top), moves)
    # one transfer; float32 holds every id and rank there is, up to 2 ** 24
    numbers = torch.cat([part.float() for part in (*columns, *wide)], dim=1).cpu().numpy()
    if not np.isfinite(numbers[:, 1]).all():
        raise overflow(model, "generate from")
    singles, rest = numbers[:, :5], np.split(numbers[:, 5:], 4, axis=1)
    return StepNumbers(
        taken=singles[:, 0].astype(np.int64),
        log_prob=singles[:, 1],
        rank=singles[:, 2].astype(np.int64),
        entropy=singles[:, 3],
        ids=rest[0].astype(np.int64),
        logits=rest[1],
        log_probs=rest[2],
        moves=rest[3].astype(np.int64),
        kl=max(0.0, float(singles[0, 4])),
    )
