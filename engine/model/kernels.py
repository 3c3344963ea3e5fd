"""A Hugging Face model's own formulas by faster kernels, to the last digits of 32-bit floats.

Linear layers: torch gives 32-bit products on a processor to the BLAS it was built with, whose
kernels are made for large square ones. A language model's are not square: few vectors, many
outputs. oneDNN, which torch brings along, takes as little as a third of the time onto a vocabulary,
two thirds for some tens of vectors, and a little less for hundreds; torch's compiler calls it by
an operation that takes tensors as they lie and copies nothing, and so do we, on the way back with
gradients too. A graphics card, other dtypes, gradients of weights, the very small, and passes that
are to be `as_written` go torch's own way.

GELUs: one written out in eight operations reads and writes its input eight times; torch has it in
one. What else is one step instead of several is in `fusing`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from .fusing import as_written as as_written
from .fusing import fuse, is_as_written, product, suits

_WRITTEN_OUT = ("NewGELUActivation", "FastGELUActivation")

_OUTPUTS = 4096
"""Outputs at a time where they go into memory: so many of a few hundred vectors fit a cache."""
_FEW_WEIGHTS, _FEW_VECTORS = 2**16, 32
"""Up to so many of both torch's own product is the quicker one."""


def prepare(hf: nn.Module) -> None:
    """Make a model ready for `by_onednn` before others share its weights, and fuse its GELUs.

    Every Conv1D's weight [d_in d_out] is laid out in memory as a linear layer's, the inputs of each
    output side by side: oneDNN, and the layers that it is split into, read it as it lies.
    """
    for module in list(hf.modules()):
        if type(module) is Conv1D and suits(module.weight):
            module.weight.data = module.weight.data.T.contiguous().T
        for name, child in module.named_children():
            if type(child).__name__ in _WRITTEN_OUT:
                setattr(module, name, nn.GELU(approximate="tanh"))


def by_onednn(model: nn.Module) -> None:
    """Let every linear layer of a model that oneDNN can do go by it from now on, and fuse what can
    be fused."""
    for layer in model.modules():
        if type(layer) is nn.Linear and suits(layer.weight):
            layer.__class__ = _Linear
        elif type(layer) is Conv1D and suits(layer.weight.T):
            layer.__class__ = _Conv1D
    last = getattr(model, "get_output_embeddings", lambda: None)()
    if isinstance(last, _Linear):
        last.is_last = True
    fuse(model)


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
    is_last = False
    """Whether it is the unembedding: behind it nothing grows."""

    def forward(self, vectors: Tensor) -> Tensor:
        if is_as_written() and not self.is_last:
            return super().forward(vectors)
        return linear(vectors, self.weight, self.bias, self.memory)


class _Conv1D(Conv1D):
    def forward(self, vectors: Tensor) -> Tensor:
        if is_as_written():
            own: Tensor = super().forward(vectors)  # type: ignore[no-untyped-call]
            return own
        return linear(vectors, self.weight.T, self.bias)


def linear(
    vectors: Tensor, weight: Tensor, bias: Tensor | None = None, memory: Tensor | None = None
) -> Tensor:
    """vectors [... d_in] times weight [d_out d_in], plus bias [d_out]. Returns: [... d_out], where
    it is wide in `memory` [n d_out] if that is given."""
    if not (suits(weight) and vectors.numel()) or _is_small(vectors, weight):
        return functional.linear(vectors, weight, bias)
    if torch.is_grad_enabled():
        if weight.requires_grad or (bias is not None and bias.requires_grad):
            return functional.linear(vectors, weight, bias)
        through: Tensor = _Product.apply(vectors, weight, bias)  # type: ignore[no-untyped-call]
        return through
    flat = vectors.reshape(-1, vectors.shape[-1])
    if len(weight) <= _OUTPUTS or memory is None:
        result = product(flat, weight, bias)
    else:
        result = memory[: len(flat)]
        for start in range(0, len(weight), _OUTPUTS):
            some = slice(start, start + _OUTPUTS)
            result[:, some] = product(flat, weight[some], None if bias is None else bias[some])
    return result.view(*vectors.shape[:-1], len(weight))


class _Product(torch.autograd.Function):
    """The same where gradients go through: to the vectors, none to weights."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        flat = vectors.reshape(-1, vectors.shape[-1])
        return product(flat, weight, bias).view(*vectors.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        flat = gradient.reshape(-1, gradient.shape[-1])
        back = product(flat, weight.T, None)
        return back.view(*gradient.shape[:-1], weight.shape[1]), None, None


def _is_small(vectors: Tensor, weight: Tensor) -> bool:
    """Whether a product is so small that what oneDNN does before it begins takes longer."""
    few = weight.numel() <= _FEW_WEIGHTS and len(weight) <= _OUTPUTS
    return few and vectors.numel() <= _FEW_VECTORS * vectors.shape[-1]
