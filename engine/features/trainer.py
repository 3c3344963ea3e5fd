"""A top-k sparse autoencoder learnt from activations, batch by batch.

Gao et al. 2024, "Scaling and evaluating sparse autoencoders", as EleutherAI's sparsify has it:

    loss = (Σ ‖x − x̂‖² + Σ aux / 32) / Σ ‖x − mean‖²

with Adam, directions of length 1, b_dec begun at the mean and W_enc at W_decᵀ. `aux`: features that
were on nowhere for a while, the d / 2 strongest of them at each token, are to write what x̂ leaves
out, so that they come alive. Activations are scaled to one size for it, and the scale is folded
into the weights at the end. What it does not show: another seed finds other features.

sparsify's own Trainer is not used: it is one call that runs the model by itself to the end, prints,
and cannot be stopped or be followed; and its sparse products are for thousands of features a
graphics card has, where at the widths of a processor whole matrices are faster.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..saved.dictionary import Dictionary

BATCH = 1024
"""Tokens behind one change of the weights."""
_AUX = 1 / 32
_WARM, _FALLS = 0.05, 0.2
"""Shares of the training in which the rate rises, and in which it falls at the end."""
_QUIET = 10
"""After the tokens of so many batches without being on a feature is helped."""
_CHUNK = 2e9
"""Operations of one part of a batch."""


class Trainer:
    """Weights in training, on the thread that calls it.

    `sample`: activations that mean and size are taken of. `n_tokens`: how many are trained on in
    all. Over the last batches `unexplained` is the share of variance left, `l0` the mean number of
    features on; `quiet` the share of features that were on at none of the last tokens.
    """

    def __init__(
        self,
        sample: Float[Tensor, "token d"],
        d_sae: int,
        k: int,
        n_tokens: int,
        seed: int = 0,
    ) -> None:
        d = sample.shape[1]
        self.k, self.n_tokens, self.n_done = k, n_tokens, 0
        self.mean = sample.mean(0)
        variance = float((sample - self.mean).pow(2).sum(-1).mean())
        self.scale = max((variance / d) ** 0.5, 1e-12)
        rng = torch.Generator().manual_seed(seed)
        directions = torch.randn(d_sae, d, generator=rng).to(sample.device)
        directions = directions / directions.norm(dim=-1, keepdim=True)
        self._made = [
            directions.T.contiguous(), torch.zeros(d_sae, device=sample.device),
            directions.clone(), self.mean / self.scale,
        ]  # fmt: skip
        for one in self._made:
            one.requires_grad_()
        self._rate = min(3e-3, 2e-4 / (d_sae / 2**14) ** 0.5)
        self._adam = torch.optim.Adam(self._made, lr=self._rate, betas=(0.9, 0.999), eps=1e-8)
        self._since = torch.zeros(d_sae, device=sample.device)
        self._seen = torch.zeros(d_sae, dtype=torch.bool, device=sample.device)
        self._variance = float(d) if variance > 0 else 1.0
        self._left = self._on = 0.0
        self._in_batch = 0
        self.unexplained = self.l0 = float("nan")

    @property
    def chunk(self) -> int:
        """Tokens that one call of `learn` should have: a part of a batch where weights are many."""
        return int(max(16, min(BATCH, _CHUNK / (12 * self._made[0].numel()))))

    @property
    def quiet(self) -> float:
        """The share of features that were on at none of the last tokens."""
        return float((self._since > _QUIET * BATCH).float().mean())

    @torch.enable_grad()
    def learn(self, x: Float[Tensor, "token d"]) -> None:
        """Learn from activations; the weights change once a batch is full."""
        encoder, b_enc, decoder, b_dec = self._made
        y = x / self.scale
        pre = (y - b_dec) @ encoder + b_enc
        values, at = pre.topk(self.k, dim=-1)
        values = torch.relu(values)
        features = torch.zeros_like(pre).scatter(-1, at, values)
        error = y - features @ decoder - b_dec
        loss = error.pow(2).sum()
        asleep = self._since > _QUIET * BATCH
        if n := int(asleep.sum()):
            most = max(1, x.shape[1] // 2)
            some = torch.where(asleep, pre, -torch.inf).topk(min(n, most), dim=-1)
            helped = torch.zeros_like(pre).scatter(-1, some.indices, torch.relu(some.values))
            missed = (error.detach() - helped @ decoder).pow(2).sum()
            loss = loss + _AUX * min(n / most, 1.0) * missed
        (loss / (BATCH * self._variance)).backward()
        self._left += float(error.detach().pow(2).sum())
        self._on += float((values > 0).sum())
        self._seen[at[values > 0]] = True
        self._in_batch += len(x)
        if self._in_batch >= BATCH:
            self._change()

    def _change(self) -> None:
        n, decoder = self._in_batch, self._made[2]
        self.n_done += n
        with torch.no_grad():
            assert decoder.grad is not None
            decoder.grad -= (decoder.grad * decoder).sum(-1, keepdim=True) * decoder
            share = self.n_done / self.n_tokens
            now = min(1.0, share / _WARM, max(0.0, (1 - share) / _FALLS))
            self._adam.param_groups[0]["lr"] = self._rate * now
            self._adam.step()
            self._adam.zero_grad()
            decoder /= decoder.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        self._since = torch.where(self._seen, 0.0, self._since + n)
        self._seen[:] = False
        self.unexplained, self.l0 = self._left / (n * self._variance), self._on / n
        self._left, self._on, self._in_batch = 0.0, 0.0, 0

    def dictionary(self, site: str, model: str) -> Dictionary:
        """What is learnt by now, in the activations' own unit."""
        encoder, b_enc, decoder, b_dec = (one.detach().clone() for one in self._made)
        return Dictionary(
            "topk", encoder.contiguous(), decoder, b_dec * self.scale, b_enc=b_enc * self.scale,
            k=self.k, site=site, model=model,
        )  # fmt: skip
