"""What a Hugging Face model writes out in several steps over whole activations, done in one.

oneDNN can put an activation function, or a multiplication by another tensor, behind a product while
its outputs are still in the cache: a gated MLP, down(act(gate x) * up x), is then three products
and nothing besides. RMS norms are six operations written out, and one in torch.

Whether a module is one of these is seen, not believed: what it gives is compared with the formula
when the model is read, and one that gives anything else stays as it is. So does one whose parts are
looked at or changed on the way, for as long as that lasts, and all where there are gradients or a
pass is to be `as_written`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_ACTIVATIONS: dict[tuple[str, str], Callable[[Tensor], Tensor]] = {
    ("swish", ""): functional.silu,
    ("gelu", "none"): functional.gelu,
    ("gelu", "tanh"): lambda x: functional.gelu(x, approximate="tanh"),
    ("relu", ""): functional.relu,
}
"""oneDNN's names of activation functions, and torch's formulas."""


_pass = threading.local()


@contextmanager
def as_written(wanted: bool = True) -> Iterator[None]:
    """Let all layers but the unembedding, on this thread, be worked out as their family wrote them
    for a while, if that is wanted.

    What is small between two products grows through some models' layers: of one SmolLM2 with its
    first MLP's output set to 0.7, another order of adding up in any one product moves logits by up
    to 3e-4, and 32 bits themselves by 1e-4.
    """
    before, _pass.as_written = is_as_written(), wanted
    try:
        yield
    finally:
        _pass.as_written = before


def is_as_written() -> bool:
    """Whether that is so now, on this thread."""
    return getattr(_pass, "as_written", False)


def suits(weight: Tensor) -> bool:
    """Whether oneDNN is there and takes it as it lies."""
    here = weight.device.type == "cpu" and torch.backends.mkldnn.is_available()
    return here and weight.dtype == torch.float32 and weight.is_contiguous()


def product(
    vectors: Tensor, weight: Tensor, bias: Tensor | None, after: tuple[str, str] = ("none", "")
) -> Tensor:
    """vectors [n d_in] times weight [d_out d_in], plus bias [d_out], by oneDNN, with the activation
    function of that name behind. Returns: [n d_out]."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise(
        vectors, weight, bias, after[0], [], after[1]
    )
    return result


def fuse(model: nn.Module) -> None:
    """Let a model's gated MLPs and RMS norms be done in one go, where they are seen to be such."""
    with torch.no_grad():
        for module in model.modules():
            _fuse_mlp(module)
            _fuse_norm(module)


class _GatedMLP(nn.Module):
    """In front of a family's own class, whose forward it stands in for. `_after`: how oneDNN calls
    its activation function."""

    gate_proj: nn.Linear
    up_proj: nn.Linear
    down_proj: nn.Linear
    act_fn: nn.Module
    _after: tuple[str, str]

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        gate, up = self.gate_proj, self.up_proj
        if (
            args
            or kwargs
            or torch.is_grad_enabled()
            or is_as_written()
            or not (x.numel() and suits(gate.weight) and suits(up.weight))
            or any(map(_is_watched, (gate, up, self.act_fn)))
        ):
            return super().forward(x, *args, **kwargs)
        flat = x.reshape(-1, x.shape[-1])
        gated = product(flat, gate.weight, gate.bias, self._after)
        if up.bias is None:
            gated = torch.ops.mkldnn._linear_pointwise.binary(flat, gated, up.weight, None, "mul")
        else:
            gated *= product(flat, up.weight, up.bias)
        return self.down_proj(gated.view(*x.shape[:-1], -1))


class _RMSNorm(nn.Module):
    """In front of a family's own class, likewise. `_eps` and `_offset`: what is added to the mean
    square, and to the weight."""

    weight: Tensor
    _eps: float
    _offset: float

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        own = args or kwargs or torch.is_grad_enabled() or is_as_written()
        if own or not (suits(self.weight) and x.dtype == torch.float32):
            return super().forward(x, *args, **kwargs)
        weight = self.weight + self._offset if self._offset else self.weight
        return functional.rms_norm(x, weight.shape, weight, self._eps)


def _fuse_mlp(module: nn.Module) -> None:
    gate, up, down, act = (
        module._modules.get(name) for name in ("gate_proj", "up_proj", "down_proj", "act_fn")
    )
    if not (isinstance(gate, nn.Linear) and isinstance(up, nn.Linear)) or act is None:
        return
    if isinstance(down, nn.Linear) and suits(gate.weight) and suits(up.weight):
        after = _name_of(act)
        if after is not None:
            _stand_in(module, _GatedMLP, {"_after": after}, gate.weight)


def _fuse_norm(module: nn.Module) -> None:
    weight = getattr(module, "weight", None)
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    alone = len(module._parameters) == 1 and not (module._modules or module._buffers)
    if not (alone and isinstance(weight, Tensor) and weight.ndim == 1 and isinstance(eps, float)):
        return
    if suits(weight) and type(module) is not nn.RMSNorm:
        for offset in (0.0, 1.0):
            if _stand_in(module, _RMSNorm, {"_eps": eps, "_offset": offset}, weight):
                return


def _name_of(act: nn.Module) -> tuple[str, str] | None:
    """How oneDNN calls an activation function; None for one it does not have."""
    x = torch.linspace(-12, 12, 2401)
    try:
        result = act(x)
    except Exception:  # not one of a tensor alone
        return None
    for name, formula in _ACTIVATIONS.items():
        if isinstance(result, Tensor) and torch.allclose(result, formula(x), rtol=1e-6, atol=1e-6):
            return name
    return None


def _stand_in(module: nn.Module, form: type[nn.Module], how: dict[str, Any], like: Tensor) -> bool:
    """Give a module another forward, if that gives what its own does: of small numbers and of
    large ones, as some families clamp. Returns: whether."""
    own = type(module)
    x = torch.randn(4, like.shape[-1], generator=torch.Generator().manual_seed(0))
    x = (x * torch.tensor([0.1, 1.0, 10.0, 1000.0])[:, None]).to(like)[None]
    try:
        meant = module(x)
        module.__dict__.update(how)
        module.__class__ = _IN_FRONT.get((own, form)) or _in_front(own, form)
        result = module(x)
        off = (result - meant).norm(dim=-1)
        if result.shape == meant.shape and bool((off <= 1e-5 * meant.norm(dim=-1)).all()):
            return True
    except Exception:  # whatever its own forward wants besides, it is none of these
        pass
    module.__class__ = own
    for name in how:
        module.__dict__.pop(name, None)
    return False


_IN_FRONT: dict[tuple[type[nn.Module], type[nn.Module]], type[nn.Module]] = {}


def _in_front(own: type[nn.Module], form: type[nn.Module]) -> type[nn.Module]:
    """A class that goes by the name of `own`, and is one; made once."""
    shown = {"__module__": own.__module__, "__doc__": own.__doc__}
    return _IN_FRONT.setdefault((own, form), type(own.__name__, (form, own), shown))


def _is_watched(module: nn.Module) -> bool:
    """Whether somebody sees or changes what passes through a module."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__)
