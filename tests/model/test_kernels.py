"""The faster kernels give what the model's own modules give."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers.activations import ACT2FN
from transformers.pytorch_utils import Conv1D

from engine.model import kernels
from engine.model.kernels import as_written, by_onednn, linear, prepare, written_into
from engine.registry import load
from tests.support.tiny_models import Tiny

ONEDNN = "mkldnn::_linear_pointwise"


@pytest.fixture(autouse=True)
def gradients_as_before() -> Iterator[Any]:
    with torch.enable_grad():
        yield


def counts(work: Any) -> Counter[str]:
    """How often each of torch's operations is called."""
    with torch.profiler.profile() as seen:
        work()
    return Counter({event.key: event.count for event in seen.key_averages()})


def goes_by_onednn(work: Any) -> bool:
    return counts(work)[ONEDNN] > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("n_vectors", [0, 1, 9, 16, 130])
@pytest.mark.parametrize("d_out", [7, 4096, 4097, 9000])
@pytest.mark.parametrize("biased", [True, False])
def test_a_linear_layer_is_the_same(
    n_vectors: int, d_out: int, biased: bool, gradients: bool, dtype: Any
) -> None:
    torch.manual_seed(0)
    torch.set_grad_enabled(gradients)
    vectors = torch.randn(n_vectors, 24).to(dtype)
    weight = torch.randn(d_out, 24).to(dtype).requires_grad_(gradients)
    bias = torch.randn(d_out).to(dtype) if biased else None
    meant = functional.linear(vectors, weight, bias)
    torch.testing.assert_close(linear(vectors, weight, bias), meant)
    torch.testing.assert_close(linear(vectors[:, None], weight, bias), meant[:, None])
    if n_vectors:
        torch.testing.assert_close(linear(vectors[0], weight, bias), meant[0])


@pytest.mark.parametrize("biased", [True, False])
def test_gradients_go_through_onednn_to_the_vectors(biased: bool) -> None:
    torch.manual_seed(0)
    vectors = torch.randn(3, 40, 70, requires_grad=True)
    weight, bias = torch.randn(2000, 70), torch.randn(2000) if biased else None
    toward = torch.randn(3, 40, 2000)

    def gradient(product: Any) -> torch.Tensor:
        return torch.autograd.grad(product(vectors, weight, bias), vectors, toward)[0]

    found, meant = gradient(linear), gradient(functional.linear)
    torch.testing.assert_close(found, meant, rtol=1e-4, atol=1e-3)
    assert counts(lambda: gradient(linear))[ONEDNN] == 2  # there and back
    batched = torch.autograd.grad(
        linear(vectors, weight, bias),
        vectors,
        torch.stack([toward, -toward]),
        is_grads_batched=True,
    )[0]
    torch.testing.assert_close(batched, torch.stack([meant, -meant]), rtol=1e-4, atol=1e-3)


def test_weights_that_take_gradients_have_them() -> None:
    torch.manual_seed(0)
    vectors, bias = torch.randn(120, 70, requires_grad=True), torch.randn(2000)
    weight = torch.randn(2000, 70, requires_grad=True)
    assert not goes_by_onednn(lambda: linear(vectors, weight, bias))
    linear(vectors, weight, bias).sum().backward()
    assert weight.grad is not None and vectors.grad is not None


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.act, self.narrow = Conv1D(30, 8), ACT2FN["gelu_new"], nn.Linear(30, 5)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return self.narrow(self.act(self.wide(vectors)))


def test_a_model_goes_by_onednn_and_says_the_same() -> None:
    torch.manual_seed(0)
    own = Small().eval()
    nn.init.normal_(own.wide.bias)
    quick = copy.deepcopy(own)
    prepare(quick)
    by_onednn(quick)
    vectors = torch.randn(3, 40, 8)
    with torch.no_grad():
        assert goes_by_onednn(lambda: quick(vectors)) and not goes_by_onednn(lambda: own(vectors))
        torch.testing.assert_close(quick(vectors), own(vectors))
        assert (quick.wide.weight == own.wide.weight).all()
        quick.wide.weight.zero_()  # read anew each time
        assert not torch.equal(quick(vectors), own(vectors))


@pytest.mark.parametrize("d_out", [5000, 7])
def test_wide_outputs_are_written_where_asked_and_only_for_a_while(d_out: int) -> None:
    layer = nn.Linear(8, d_out)
    by_onednn(layer)
    first, second, memory = torch.randn(3, 8), torch.randn(2, 8), torch.zeros(4, d_out)
    with torch.no_grad():
        meant = [functional.linear(x, layer.weight, layer.bias) for x in (first, second)]
        with written_into(layer, memory):
            found = layer(first)
            torch.testing.assert_close(found, meant[0])
            assert (found.data_ptr() == memory.data_ptr()) == (d_out > 4096)
        torch.testing.assert_close(layer(second), meant[1])
        torch.testing.assert_close(found, meant[0])


def test_as_written_only_the_unembedding_goes_by_onednn(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_FEW_WEIGHTS", 0)
    model = load(str(tiny("llama")))
    ids = torch.zeros(2, 3, dtype=torch.long)

    def work() -> None:
        with as_written():
            model(ids)

    called = model.worker.run(lambda: counts(work))
    assert called[ONEDNN] == 1 and called["aten::rms_norm"] == 0
    block: Any = model.blocks[0]
    assert model.worker.run(lambda: goes_by_onednn(lambda: block.mlp(torch.ones(1, 3, 32))))


def test_gradients_go_through_the_same_model() -> None:
    own = Small()
    quick = copy.deepcopy(own)
    prepare(quick)
    by_onednn(quick)
    vectors = torch.randn(4, 8)
    for model in (own, quick):
        model(vectors).sum().backward()
    torch.testing.assert_close(quick.wide.weight.grad, own.wide.weight.grad)


def test_without_onednn_torch_goes_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    vectors, weight = torch.randn(3, 8), torch.randn(5, 8)
    with torch.no_grad():
        assert not goes_by_onednn(lambda: linear(vectors, weight))
        torch.testing.assert_close(linear(vectors, weight), functional.linear(vectors, weight))


def test_every_linear_layer_of_a_model_goes_by_onednn(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_FEW_WEIGHTS", 0)  # however small
    model = load(str(tiny("gpt2")))
    ids = torch.zeros(1, 3, dtype=torch.long)
    called = model.worker.run(lambda: counts(lambda: model(ids)))
    assert called[ONEDNN] == 4 * model.shape.n_layers + 1
    assert called["aten::addmm"] == called["aten::mm"] == 0
