"""Which token is taken: the likeliest, or one drawn by temperature, top-k and top-p with a seed.

A draw is the highest of log-probability / temperature plus Gumbel noise (Gumbel 1954, known as
Gumbel-max), and the noise belongs to the seed and the step alone. Runs that are compared so draw
with the same luck: where the model says the same in both, the same token is taken, and a difference
between the texts is the ablation's. What one seed does not show: how the texts differ on average.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from ..errors import ExperimentError
from ..experiment.numbers import number, whole_or_none
from ..passes.ordering import best, highest


@dataclass(frozen=True)
class Sampling:
    """How tokens are taken. `temperature` 0 is greedy, and the rest then has no part in it.

    `top_k`: only the k likeliest. `top_p`: only the fewest likeliest that together have this
    probability, after temperature and top-k (Holtzman et al. 2019). `seed`: any integer from 0.
    Raises: ExperimentError for a number that cannot be meant.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("top_k", "seed"):
            what = name.replace("_", "-").capitalize()
            object.__setattr__(self, name, whole_or_none(getattr(self, name), what))
        object.__setattr__(self, "temperature", number(self.temperature, "The temperature"))
        if self.top_p is not None:
            object.__setattr__(self, "top_p", number(self.top_p, "Top-p"))
        if self.temperature != 0 and not 0.01 <= self.temperature <= 100:
            raise ExperimentError(
                f"The temperature is 0 (greedy) or from 0.01 to 100, not {self.temperature}."
            )
        if self.top_k is not None and self.top_k < 1:
            raise ExperimentError(f"top-k keeps at least 1 token, not {self.top_k}.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ExperimentError(f"top-p is a probability above 0 and up to 1, not {self.top_p}.")
        if not 0 <= self.seed < 2**63:
            raise ExperimentError(f"A seed is a whole number from 0 on, not {self.seed}.")

    def take(self, logits: Tensor, step: int) -> Tensor:
        """The ids [rows] taken at a step from logits [rows d_vocab], float32."""
        if not self.temperature:
            return highest(logits)
        noise = np.random.default_rng((self.seed, step)).gumbel(size=logits.shape[-1])
        drawn = torch.from_numpy(noise.astype(np.float32)).to(logits.device)
        return highest(self.allowed(logits) + drawn)

    def allowed(self, logits: Tensor) -> Tensor:
        """The log-probabilities [rows d_vocab] tokens are drawn by, −inf for those left out."""
        scaled = logits / self.temperature
        if self.top_k is not None and self.top_k < scaled.shape[-1]:
            kept = best(scaled, self.top_k)
            scaled = torch.full_like(scaled, -torch.inf).scatter(1, kept, scaled.gather(1, kept))
        if self.top_p is not None and self.top_p < 1:
            ordered, ids = torch.sort(scaled, descending=True, stable=True)
            before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
            out = (before >= self.top_p).scatter(1, ids, before >= self.top_p)
            scaled = scaled.masked_fill(out, -torch.inf)
        return scaled.log_softmax(-1)


class Sampled:
    """What questions have that take tokens: a sampling, written as four fields of their own."""

    temperature: float
    top_k: int | None
    top_p: float | None
    seed: int

    @property
    def sampling(self) -> Sampling:
        """How tokens are taken. Raises: ExperimentError for a number that cannot be meant."""
        return Sampling(self.temperature, self.top_k, self.top_p, self.seed)

    def read_sampling(self) -> None:
        """Take the four fields as the sampling reads them."""
        sampling = self.sampling
        for field in fields(sampling):
            object.__setattr__(self, field.name, getattr(sampling, field.name))
