"""Numbers that are no numbers any more: what a change may drive a model to."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import EngineError
from ..model.model import Model


def check_numbers(model: Model, values: Tensor, to: str = "rank") -> None:
    """Refuse values among which there is infinity or NaN; `to`: what was to be done with them.

    Raises: EngineError in words.
    """
    worst = values.max() if values.numel() else values.new_zeros(())
    if not worst < torch.inf:  # NaN is the largest of all
        raise overflow(model, to)


def overflow(model: Model, to: str) -> EngineError:
    """What is told where a run's numbers overflow, so that there is nothing `to` do."""
    return EngineError(
        f"The model's numbers overflow in this run ({model.dtype}), so there is nothing to {to}. "
        "Scale, set or add by less, or load it in another dtype."
    )
