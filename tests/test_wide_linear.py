"""Linear layers in blocks are the same linear layers, and the highest of many are the highest."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from engine.passes import ordering
from engine.passes.wide_linear import in_blocks, linear


@pytest.fixture(autouse=True)
def gradients_as_before():
    with torch.enable_grad():
        yield


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("n_vectors", [1, 31, 32, 130])
@pytest.mark.parametrize("d_out", [7, 1023, 1024, 1500, 5000])
@pytest.mark.parametrize("biased", [True, False])
def test_a_linear_layer_in_blocks_is_the_same(n_vectors, d_out, biased, gradients):
    torch.manual_seed(0)
    torch.set_grad_enabled(gradients)
    vectors, weight = torch.randn(n_vectors, 24).double(), torch.randn(d_out, 24).double()
    bias = torch.randn(d_out).double() if biased else None
    weight.requires_grad_(gradients)
    meant = functional.linear(vectors, weight, bias)
    torch.testing.assert_close(linear(vectors, weight, bias), meant)
    torch.testing.assert_close(linear(vectors[:, None], weight, bias), meant[:, None])


def test_a_layer_goes_in_blocks_for_a_while_only():
    layer = nn.Linear(8, 2000)
    vectors = torch.randn(40, 8)
    with torch.no_grad(), in_blocks(nn.Sequential(layer)):
        assert "forward" in vars(layer)
        found = layer(vectors)
    assert "forward" not in vars(layer)
    torch.testing.assert_close(found, layer(vectors))


@pytest.mark.parametrize("d_vocab", [50_257, 8_200, 40_000])
@pytest.mark.parametrize("k", [1, 6, 128])
def test_the_best_of_many_are_those_of_a_full_sort(d_vocab, k):
    torch.manual_seed(k)
    logits = torch.randn(6, d_vocab)
    rising = -logits.abs().sort(-1).values
    for each in (logits, rising, rising.flip(-1), (1000 * logits).round() / 1000):
        meant = torch.sort(each, descending=True, stable=True).indices[:, :k]
        assert (ordering.best(each, k) == meant).all()
