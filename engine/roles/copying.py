"""The eigenvalue copying score of every head, from the weights (Elhage et al. 2021).

    Σ Re λ / Σ |λ|      λ: the eigenvalues of W_E · OV · W_U, which W_O (W_U W_E) W_V has too,

behind the gains of the norm of the head's layer and of the final norm. −1 to 1: 1 where each token
raises itself; about 0 in random weights. It does not show whether the head ever looks at a token.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..model.model import Model
from ..model.weights import W_E, W_O, W_U, W_V, per_query_head
from ..model.worker import Steps
from .held import held, read_through

_PRODUCTS = 2**31
"""Multiplications of one step; those of a head's eigenvalues are about 300 d_head³."""


def copying_scores(model: Model) -> Steps[np.ndarray]:
    """The score of each head, [layer head_index]; NaN in layers without heads. Kept for the next
    words that are asked about."""
    key = (copying_scores, "of all heads")
    if key in model.means:
        kept: np.ndarray = model.means[key]
        return kept
    shape = model.shape
    result = np.full((shape.n_layers, shape.n_heads), np.nan)
    among = yield from _among(model)
    at_once = max(1, _PRODUCTS // (300 * shape.d_head**3))
    for layer in range(shape.n_layers):
        if layer in shape.without_heads:
            continue
        value = read_through(model, layer, per_query_head(model, W_V(model, layer)))
        out = W_O(model, layer).float()
        for heads in torch.arange(shape.n_heads).split(at_once):
            maps = out[heads] @ among @ value[heads]
            values = torch.linalg.eigvals(maps.cpu().double())
            result[layer, heads] = (values.real.sum(-1) / values.abs().sum(-1)).numpy()
            yield 0.5 + 0.5 * (layer + float(heads[-1]) / shape.n_heads) / shape.n_layers
    model.means.keep(key, result)
    return result


def _among(model: Model) -> Steps[Tensor]:
    """W_U W_E over all tokens, behind the final norm's gain: [d_model d_model]."""
    embed, unembed = W_E(model), W_U(model)
    width = embed.shape[1]
    tied = embed.data_ptr() == unembed.data_ptr() and embed.shape == unembed.T.shape
    whole = torch.zeros(width, width, device=embed.device)
    rows_at_once = max(1, _PRODUCTS // width**2)
    for rows in torch.arange(len(embed)).split(rows_at_once):
        some = slice(int(rows[0]), int(rows[-1]) + 1)
        one, other = unembed[:, some].float(), embed[some].float()
        if tied:  # the same both ways: what is above the diagonal is worked out
            for columns in torch.arange(width).split(-(-width // 4)):
                here = slice(int(columns[0]), int(columns[-1]) + 1)
                whole[here, here.start :] += one[here] @ other[:, here.start :]
        else:
            whole += one @ other
        yield 0.5 * float(rows[-1]) / len(embed)
    if tied:
        whole = whole.triu() + whole.triu(1).mT
    norm = held(model, None)
    if norm is None:
        return whole
    scaled: Tensor = norm.gain.to(whole)[:, None] * whole
    return scaled - scaled.mean(0) if norm.centres else scaled
