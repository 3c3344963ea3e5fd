"""How the logit difference is read off what leaves the last layer: one direction, and constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import EngineError
from ..model.model import Model
from ..model.weights import W_U, b_U
from .frozen import FrozenNorm

_CAPS = ("final_logit_softcapping", "final_logit_softcap", "logits_soft_cap")
"""What configs call the number that no logit passes, as it is put through a tanh."""


@dataclass(frozen=True, eq=False)
class Readout:
    """What one run's logit difference is made of, the final norm held at the scale it has there.

    `toward`: what a vector in the residual stream counts, float64. `norm_bias` and `unembed_bias`:
    what the biases of the final norm and of the unembedding add. `cap`: what capping the logits
    adds, 0 where nothing caps them. All in logits, positive for the answer; `logit_diff` is the
    model's own, to which toward · stream and the three add up. `norm`: the final norm at that
    scale; `factor`: what logits are multiplied by, 1 in most models.
    """

    toward: Float[Tensor, " d_model"]
    norm_bias: float
    unembed_bias: float
    cap: float
    logit_diff: float
    norm: FrozenNorm
    factor: float


def close_to(model: Model) -> float:
    """How far what is worked out from weights may be from what the model gives, as a share of its
    size: coarse dtypes round on the way."""
    return 1e-3 if model.dtype == torch.float32 else 3e-2


def readout(
    model: Model, stream: Float[Tensor, " d_model"], logits: Tensor, tokens: tuple[int, int]
) -> Readout:
    """Read the difference of two tokens' logits, of those [d_vocab] that `stream` gave.

    Raises: EngineError for a model whose logits are not what its norm and unembedding make of it.
    """
    stream, norm, at = stream.detach().cpu().double(), model.structure.ln_final, list(tokens)
    ones = torch.ones_like(stream)
    frozen = (
        FrozenNorm(ones, 0 * ones, centres=False) if norm is None else FrozenNorm.on(norm, stream)
    )
    rows = W_U(model)[:, at].T.cpu().double()
    added, given = b_U(model)[at].cpu().double(), logits[at].cpu().double()
    own = rows @ frozen(stream) + added
    room = close_to(model) * (own.abs().max() + 0.01 * rows.norm() * frozen(stream).norm())
    factor, cap = 1.0, _cap(model)
    if cap and _within(room, cap * torch.tanh(own / cap), given):
        capped = float((given - own) @ torch.tensor([1.0, -1.0]).double())
    else:
        if not _within(room, own, given):
            factor = float(given @ own / (own @ own))
        if not _within(room * max(1.0, abs(factor)), factor * own, given):
            raise EngineError(
                f"The logits of {model.checkpoint.architecture} are not what its final norm and "
                "its unembedding make of the residual stream, so nothing is attributed in it."
            )
        capped = 0.0
    unembed = factor * (rows[0] - rows[1])
    return Readout(
        frozen.before(unembed),
        float(frozen.bias @ unembed),
        factor * float(added[0] - added[1]),
        capped,
        float(given[0] - given[1]),
        frozen,
        factor,
    )


def _within(room: Tensor | float, one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= room)


def _cap(model: Model) -> float:
    config: Any = model.hf.config.get_text_config()
    return float(next((v for name in _CAPS if (v := getattr(config, name, None))), 0.0))
