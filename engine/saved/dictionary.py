"""Sparse autoencoders as numbers: what they make of an activation, by the formula of each kind.

With x an activation, u what the autoencoder reads of it and f its features, as SAELens (Bloom et
al.) and sparsify (EleutherAI) have them:

    u = norm(x) − b_dec                  where `centres`, else norm(x)
    relu      f = relu(u W_enc + b_enc)
    jumprelu  f = relu(h) · [h > θ]                          h = u W_enc + b_enc
    topk      f = relu(h) of the k greatest h, else 0
    gated     f = [u W_enc + b_gate > 0] · relu((u W_enc) eʳ + b_mag)
    x̂ = norm⁻¹(f W_dec + b_dec) + W_skip x

`norm` is none, SAELens' "constant_norm_rescale", x √d / ‖x‖, or its "layer_norm", (x − μ) / (σ +
1e-5) with σ of n − 1, whose inverse is · σ + μ. A transcoder reads one place and writes another: x̂
is of the second, and norm⁻¹ is left out. Where `centred`, x less its mean is in the place of x, and
the mean is added to x̂.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

KINDS = ("relu", "jumprelu", "topk", "gated")
NORMS = ("none", "constant_norm_rescale", "layer_norm")


@dataclass(frozen=True, eq=False)
class Become:
    """What becomes of features `index`: a number, or, where it `scales`, they times that, or the
    `values` they have elsewhere, [index], or by position of the text, [pos index]."""

    index: tuple[int, ...]
    number: float
    scales: bool = False
    values: Float[Tensor, "*pos index"] | None = None

    def at(self, positions: Sequence[int]) -> Become:
        """The same of some positions only, as `of` is given them."""
        if self.values is None or self.values.ndim == 1:
            return self
        return replace(self, values=self.values[list(positions)])

    def of(self, features: Float[Tensor, "... d_sae"]) -> Float[Tensor, "... index"]:
        """Those features, as they become."""
        old = features[..., list(self.index)]
        if self.values is not None:
            return self.values.to(old).expand_as(old)
        return old * self.number if self.scales else torch.full_like(old, self.number)


@dataclass(frozen=True, eq=False)
class Dictionary:
    """The weights of a sparse autoencoder or transcoder, float32, on one device.

    `site`: what it writes, as sites are written; empty where its folder does not say. `transcodes`:
    it reads what the MLP of that site is given. `model`: on which model it was made, where known.
    `before_norm`: made of what the MLP itself gives, before a norm behind it. `centred`: made of a
    form of the model whose stream has mean 0, as one can be given whose norms take the mean off.
    """

    kind: str
    W_enc: Float[Tensor, "d_in d_sae"]
    W_dec: Float[Tensor, "d_sae d_out"]
    b_dec: Float[Tensor, " d_out"]
    b_enc: Float[Tensor, " d_sae"] | None = None
    threshold: Float[Tensor, " d_sae"] | None = None
    b_gate: Float[Tensor, " d_sae"] | None = None
    b_mag: Float[Tensor, " d_sae"] | None = None
    r_mag: Float[Tensor, " d_sae"] | None = None
    W_skip: Float[Tensor, "d_out d_in"] | None = None
    k: int = 0
    norm: str = "none"
    centres: bool = True
    transcodes: bool = False
    before_norm: bool = False
    centred: bool = False
    site: str = ""
    model: str = ""

    @property
    def d_in(self) -> int:
        """How many numbers it reads."""
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        """How many features it has."""
        return self.W_enc.shape[1]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Its weights by name."""
        every = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: one for name, one in every.items() if isinstance(one, Tensor)}

    @property
    def nbytes(self) -> int:
        """How many bytes it holds."""
        return sum(one.nbytes for one in self.tensors.values())

    def to(self, device: torch.device) -> Dictionary:
        """The same on a device."""
        moved: dict[str, Any] = {name: one.to(device) for name, one in self.tensors.items()}
        return replace(self, **moved)

    def encode(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
        """The features of activations, from 0 on."""
        u = self._normed(x.float())
        if self.centres:
            u = u - self.b_dec
        h = u @ self.W_enc
        if self.kind == "gated":
            assert self.b_gate is not None and self.b_mag is not None and self.r_mag is not None
            return (h + self.b_gate > 0) * torch.relu(h * self.r_mag.exp() + self.b_mag)
        assert self.b_enc is not None
        h = h + self.b_enc
        if self.kind == "topk":
            values, at = h.topk(min(self.k, self.d_sae), dim=-1)
            return torch.zeros_like(h).scatter_(-1, at, torch.relu(values))
        if self.threshold is not None:
            return torch.relu(h) * (h > self.threshold)
        return torch.relu(h)

    def decode(
        self, features: Float[Tensor, "... d_sae"], x: Float[Tensor, "... d_in"]
    ) -> Float[Tensor, "... d_out"]:
        """What features say of the activations x that they are of."""
        out = features @ self.W_dec + self.b_dec
        if not self.transcodes:
            scale, shift = self._scale(x.float())
            out = out * scale + shift
            out = out + x.float().mean(-1, keepdim=True) if self.centred else out
        return out if self.W_skip is None else out + x.float() @ self.W_skip.T

    def __call__(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_out"]:
        """What it makes of activations."""
        return self.decode(self.encode(x), x)

    def direction(self, index: int) -> Float[Tensor, " d_out"]:
        """What a unit of a feature writes."""
        return self.W_dec[index]

    def unit(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... 1"]:
        """How many times its direction a unit of a feature writes where it reads x."""
        one = x.new_ones((*x.shape[:-1], 1), dtype=torch.float32)
        return one if self.transcodes else one * self._scale(x.float())[0]

    def moved(
        self,
        out: Float[Tensor, "... d_out"],
        read: Float[Tensor, "... d_in"] | None = None,
        *,
        become: Become,
        before: tuple[Become, ...] = (),
    ) -> Float[Tensor, "... d_out"]:
        """out + (f′ − f) · d, with f the features of `read`, of `out` itself where there is none,
        so that what the autoencoder does not say of it is left as it is. `before`: what has become
        of f already, where `read` does not show it."""
        x = (out if read is None else read).float()
        f = self.encode(x)
        f = f.clone() if before else f  # its own gradient may need it as it is
        for one in before:
            f[..., list(one.index)] = one.of(f)
        at = list(become.index)
        moved = (become.of(f) - f[..., at]) @ self.W_dec[at]
        return out.float() + (moved if self.transcodes else moved * self._scale(x)[0])

    def _normed(self, x: Tensor) -> Tensor:
        x = self._without_mean(x)
        if self.norm == "none":
            return x
        if self.norm == "layer_norm":
            x = x - x.mean(-1, keepdim=True)
            return x / (x.std(-1, keepdim=True) + 1e-5)
        return x / self._scale(x)[0]

    def _scale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What is multiplied back, and what is added."""
        x = self._without_mean(x)
        zero = x.new_zeros(())
        if self.norm == "layer_norm":
            return x.std(-1, keepdim=True), x.mean(-1, keepdim=True)
        if self.norm == "constant_norm_rescale":
            return x.norm(dim=-1, keepdim=True).clamp_min(1e-30) / x.shape[-1] ** 0.5, zero
        return zero + 1, zero

    def _without_mean(self, x: Tensor) -> Tensor:
        return x - x.mean(-1, keepdim=True) if self.centred else x
