"""A norm held at the scale it has on one vector, at which it is linear.

A norm divides a vector by its size and multiplies what is left by weights. With the size held as
the run has it, it gives of a sum of parts the sum of what it makes of each. What is held is read
off the family's own module, whose weights may be w or 1 + w, with or without a mean taken off.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

_CENTRES = 1e-3
"""What a norm that takes the mean off leaves of a vector of ones, as a share of its gain."""


@dataclass(frozen=True, eq=False)
class FrozenNorm:
    """What a norm does to any vector at the scale that it has on one: gain ⊙ x + bias, of x without
    its mean where the norm `centres`. All float64, on the processor."""

    gain: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"]
    centres: bool

    @classmethod
    def on(cls, norm: nn.Module, vector: Float[Tensor, " d_model"]) -> FrozenNorm:
        """A model's norm as it acts on this vector."""
        own = copy.deepcopy(norm).float()
        device = next((p.device for p in norm.parameters()), vector.device)

        def normed(x: Tensor) -> Tensor:
            return own(x.float().to(device)).detach().cpu().double()

        vector = vector.detach().cpu().double()
        signs = torch.ones_like(vector)
        signs[1::2] = -1
        signs -= signs.mean()  # nowhere 0, of mean 0: weights and bias can be read off it
        up, down = normed(signs), normed(-signs)
        gain, bias = (up - down) / 2 / signs, (up + down) / 2
        flat = normed(torch.ones_like(vector)) - bias
        centres = bool(flat.norm() < _CENTRES * gain.norm())
        scaled = gain * (vector - vector.mean() if centres else vector)
        size = scaled @ scaled
        scale = (normed(vector) - bias) @ scaled / size if size > 0 else size
        return cls(gain * scale, bias, centres)

    def __call__(self, vector: Float[Tensor, " d_model"]) -> Float[Tensor, " d_model"]:
        """What it makes of a vector."""
        return self.gain * (vector - vector.mean() if self.centres else vector) + self.bias

    def before(self, toward: Float[Tensor, " d_model"]) -> Float[Tensor, " d_model"]:
        """The direction before it by which a part counts as by `toward` behind it."""
        direction = self.gain * toward
        return direction - direction.mean() if self.centres else direction
