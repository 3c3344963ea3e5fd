"""A Hugging Face model's own formulas by faster kernels, to the last digits of 32-bit floats.

Linear layers: torch gives 32-bit products on a processor to the BLAS it was built with, whose
kernels are made for large square ones. A language model's are not square: few vectors, many
outputs. oneDNN, which torch brings along and keeps for tensors of its own layout, takes as little
as half of the time onto a vocabulary and for some tens of vectors, and about the same for hundreds
onto few outputs. A graphics card, other dtypes and gradients go torch's own way.

GELUs: one written out in eight operations reads and writes its input eight times; torch has it in
one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

_WRITTEN_OUT = ("NewGELUActivation", "FastGELUActivation")

_OUTPUTS = 4096
"""Outputs at a time: oneDNN's are copied, and so many of a few hundred vectors fit a cache."""


def prepare(hf: nn.Module) -> None:
    """Make a model ready for `by_onednn` before others share its weights, and fuse its GELUs.

    Every Conv1D's weight [d_in d_out] is laid out in memory as a linear layer's, the inputs of each
    output side by side: oneDNN, and the layers that it is split into, read it as it lies.
    """
    for module in list(hf.modules()):
        if type(module) is Conv1D and _suits(module.weight):
            module.weight.data = module.weight.data.T.contiguous().T
        for name, child in module.named_children():
            if type(child).__name__ in _WRITTEN_OUT:
                setattr(module, name, nn.GELU(approximate="tanh"))


def by_onednn(model: nn.Module) -> None:
    """Let every linear layer of a model that oneDNN can do go by it from now on."""
    for layer in model.modules():
        if type(layer) is nn.Linear and _suits(layer.weight):
            layer.__class__ = _Linear
        elif type(layer) is Conv1D and _suits(layer.weight):
            layer.__class__ = _Conv1D


@contextmanager
def written_into(module: nn.Module, memory: Tensor) -> Iterator[None]:
    """Let a module's linear layers put their outputs, where these are many, into memory
    [n d_out] for a while; what they gave before is overwritten."""
    layers = [layer for layer in module.modules() if isinstance(layer, _Linear)]
    for layer in layers:
        layer.memory = memory
    try:
        yield
    finally:
        for layer in layers:
            del layer.memory


class _Linear(nn.Linear):
    memory: Tensor | None = None

    def forward(self, vectors: Tensor) -> Tensor:
        return linear(vectors, self.weight, self.bias, self.memory)


class _Conv1D(Conv1D):
    def forward(self, vectors: Tensor) -> Tensor:
        return linear(vectors, self.weight.T, self.bias)


def linear(
    vectors: Tensor, weight: Tensor, bias: Tensor | None = None, memory: Tensor | None = None
) -> Tensor:
    """vectors [... d_in] times weight [d_out d_in], plus bias [d_out]. Returns: [... d_out], where
    it is wide in `memory` [n d_out] if that is given."""
    if torch.is_grad_enabled() or not (
        _suits(weight) and weight.is_contiguous() and vectors.numel()
    ):
        return functional.linear(vectors, weight, bias)
    flat = vectors.reshape(-1, vectors.shape[-1]).to_mkldnn()
    if len(weight) <= _OUTPUTS:
        found = functional.linear(flat, weight, bias).to_dense()
    else:
        n, d_out = len(flat), len(weight)
        found = vectors.new_empty(n, d_out) if memory is None else memory[:n]
        for start in range(0, d_out, _OUTPUTS):
            some = slice(start, start + _OUTPUTS)
            own = None if bias is None else bias[some]
            found[:, some] = functional.linear(flat, weight[some], own).to_dense()
    return found.view(*vectors.shape[:-1], len(weight))


def _suits(weight: Tensor) -> bool:
    """Whether oneDNN is there and takes it."""
    here = weight.device.type == "cpu" and torch.backends.mkldnn.is_available()
    return here and weight.dtype == torch.float32
