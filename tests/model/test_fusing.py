"""What is fused is what the model's own module gives, and nothing else is."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaConfig
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.gemma3n.configuration_gemma3n import Gemma3nTextConfig
from transformers.models.gemma3n.modeling_gemma3n import Gemma3nTextMLP
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm

from engine.model import fusing
from engine.model.fusing import fuse


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[Any]:
    with torch.no_grad():
        yield


def pair_of(module: nn.Module) -> tuple[Any, Any]:
    """A module with weights that are not what it began with, and the same fused."""
    torch.manual_seed(0)
    own = module.eval()
    for parameter in own.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    quick = copy.deepcopy(own)
    fuse(quick)
    return own, quick


def config(**options: Any) -> LlamaConfig:
    return LlamaConfig(hidden_size=24, intermediate_size=40, num_attention_heads=2, **options)


def mlp(act: str = "silu", **options: Any) -> LlamaMLP:
    return LlamaMLP(config(hidden_act=act, **options))


def is_fused(module: nn.Module) -> bool:
    return any(isinstance(m, fusing._GatedMLP | fusing._RMSNorm) for m in module.modules())


@pytest.mark.parametrize("act", ["silu", "gelu", "gelu_pytorch_tanh", "gelu_new", "relu"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_gated_mlp_is_the_same_in_three_products(act: str, bias: bool) -> None:
    own, quick = pair_of(mlp(act, mlp_bias=bias))
    assert is_fused(quick) and not is_fused(own)
    for shape in ((1, 24), (3, 5, 24), (0, 24), (12, 24), (2, 8, 24), (17, 24)):
        x = 3 * torch.randn(shape)
        torch.testing.assert_close(quick(x), own(x))


@pytest.mark.parametrize("act", ["mish", "quick_gelu", "laplace"])
def test_an_activation_function_that_onednn_has_not_stays(act: str) -> None:
    _, quick = pair_of(mlp(act))
    assert not is_fused(quick)


class Clamped(LlamaMLP):
    def forward(self, x: Any) -> Any:
        gated = self.act_fn(self.gate_proj(x)).clamp(max=7.0) * self.up_proj(x)
        return self.down_proj(gated)


def test_an_mlp_that_does_something_else_with_the_same_parts_stays() -> None:
    clamped: Any = Clamped
    assert not is_fused(pair_of(clamped(config()))[1])
    sparse = Gemma3nTextConfig(
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        activation_sparsity_pattern=[0.9, 0.0],
    )
    fused = [is_fused(pair_of(Gemma3nTextMLP(sparse, layer))[1]) for layer in (0, 1)]
    assert fused == [False, True]


@pytest.mark.parametrize("part", ["gate_proj", "up_proj", "act_fn"])
def test_a_part_that_is_changed_on_the_way_is_changed(part: str) -> None:
    own, quick = pair_of(mlp())
    x = torch.randn(3, 24)
    before = quick(x)
    for model in (own, quick):
        getattr(model, part).register_forward_hook(lambda _m, _a, out: 2 * out)
    torch.testing.assert_close(quick(x), own(x))
    assert not torch.allclose(quick(x), before)


@pytest.mark.parametrize("cls", [LlamaRMSNorm, GemmaRMSNorm])
@pytest.mark.parametrize("shape", [(24,), (2, 3, 24), (2, 3, 4, 24)])
def test_an_rms_norm_is_the_same_in_one_step(cls: Any, shape: tuple[int, ...]) -> None:
    own, quick = pair_of(cls(24, eps=1e-5))
    assert is_fused(quick)
    for size in (1e-3, 1.0, 1e4):
        x = size * torch.randn(shape)
        torch.testing.assert_close(quick(x), own(x))
        if x.ndim > 2:
            torch.testing.assert_close(quick(x.transpose(0, 1)), own(x.transpose(0, 1)))


class Centred(LlamaRMSNorm):
    def forward(self, hidden_states: Any) -> Any:
        return super().forward(hidden_states - hidden_states.mean(-1, keepdim=True))


def test_a_norm_that_is_another_stays() -> None:
    assert not is_fused(pair_of(Centred(24, eps=1e-5))[1])
    assert not is_fused(pair_of(nn.LayerNorm(24, bias=False))[1])
    assert not is_fused(pair_of(nn.GroupNorm(4, 24))[1])


def test_gradients_and_other_dtypes_go_the_models_own_way() -> None:
    x = torch.randn(3, 24)
    for module in (mlp(), LlamaRMSNorm(24)):
        own, quick = pair_of(module)
        with torch.enable_grad():
            for model in (own, quick):
                model(x).sum().backward()
        for a, b in zip(own.parameters(), quick.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad)
        own, quick = own.double(), quick.double()
        assert torch.equal(quick(x.double()), own(x.double()))
        assert not is_fused(pair_of(copy.deepcopy(own))[1])


def test_a_fused_module_is_still_called_and_counted_as_what_it_was() -> None:
    own, quick = pair_of(mlp())
    assert isinstance(quick, LlamaMLP) and type(quick).__name__ == "LlamaMLP"
    assert type(quick).__module__ == type(own).__module__
    assert own.state_dict().keys() == quick.state_dict().keys()
    x = torch.randn(3, 24)
    torch.testing.assert_close(copy.deepcopy(quick)(x), own(x))


def test_without_onednn_nothing_is_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    own, quick = pair_of(mlp())
    x = torch.randn(3, 24)
    assert not is_fused(quick) and torch.equal(quick(x), own(x))
