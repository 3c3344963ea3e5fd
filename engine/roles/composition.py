"""How much of what one head writes another reads, from the weights: composition scores.

Elhage et al. 2021: with OV the map of an earlier head, and M what a later one makes of the stream
by its queries (W_Q W_Kᵀ), keys (W_K W_Qᵀ) or values (W_V W_O),

    score = ‖OV · M‖ / (‖OV‖ ‖M‖)      Frobenius norms, 0 to 1

each weight behind the gain of the norm that it reads through, or that stands behind it. Two maps
that share no more than random ones have about 1 / √d_model, which `chance` draws for these shapes.
It does not show whether the later head attends where that matters. Rotations by position, norms of
queries and keys, and the scales of norms differ from token to token and are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..asking import ask
from ..errors import EngineError
from ..experiment.question import Question
from ..experiment.sites import Shape
from ..model.model import Model
from ..model.weights import W_K, W_O, W_Q, W_V, per_query_head
from ..model.work import Answer
from ..model.worker import Steps
from .held import held, read_through
from .partners import INTO, Composition

_DRAWS, _SEED = 32, 0
_PRODUCTS = 2**31
"""Multiplications of one step."""


@dataclass(frozen=True)
class ScoreComposition(Question[Composition, Composition]):
    """How much each head reads of what each earlier one writes, `into` its "q", "k" or "v".

    Raises: EngineError for another `into`.
    """

    asks = "composition"
    n_plain = 2
    model: str
    into: str = "k"

    def __post_init__(self) -> None:
        if self.into not in INTO:
            raise EngineError(f"Heads read by q, k or v, not by “{self.into!s:.40}”.")

    @property
    def model_name(self) -> str:
        return self.model

    def answered(self, model: Model) -> Answer[Composition, Composition]:
        """Snapshots, later layer by later layer; the last has all."""
        model.check_way("adds up", "composition")
        return Answer(lambda put: _steps(model, self, put))


def composition(model: str, into: str = "k", view: str | None = None) -> Composition:
    """Ask `ScoreComposition` and wait for the end. Raises: EngineError in words, as for a family
    whose queries, keys or values are not a matrix times the stream."""
    return ask(ScoreComposition(model, into), view)


def _steps(
    model: Model, asked: ScoreComposition, put: Callable[[Composition], None]
) -> Steps[Composition]:
    yield 0.0
    shape = model.shape
    n, heads = shape.n_layers, shape.n_heads
    score = np.full((n, heads, n, heads), np.nan)
    chance, spread = _by_chance(shape)
    layers = [layer for layer in range(n) if layer not in shape.without_heads]
    notes = _notes(model, layers)
    done, pairs = 0, max(1, len(layers) * (len(layers) - 1) // 2)

    def snapshot(progress: float) -> Composition:
        return Composition(
            asked.into, score.copy(), chance, spread, shape, tuple(notes), progress=progress
        )

    at_once = max(1, _PRODUCTS // (heads * shape.d_head**2 * shape.d_model))
    writes = {}
    for layer in layers[:-1]:
        writes[layer] = _writes(model, layer)
        yield 0.05
    for later in layers[1:]:
        read, given = _reads(model, later, asked.into)
        size = (_gram(read.mT) * given).sum((-1, -2)).sqrt()
        for earlier in (layer for layer in layers if layer < later):
            for some in torch.arange(heads).split(at_once):
                gram, out, own = (each[some] for each in writes[earlier])
                joined = out[:, None] @ read[None]
                square = ((gram[:, None] @ joined) * (joined @ given[None])).sum((-1, -2))
                found = square.clamp(min=0).sqrt() / (own[:, None] * size[None]).clamp(min=1e-30)
                score[earlier, some, later] = found.cpu().numpy()
                yield 0.1 + 0.9 * done / pairs
            done += 1
        put(snapshot(min(0.1 + 0.9 * done / pairs, 0.999)))
    whole = snapshot(1.0)
    put(whole)
    return whole


def _writes(model: Model, layer: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each head that writes: W_Vᵀ W_V behind its norm [head d_head d_head], W_O [head d_head
    d_model], and the size of their product [head]."""
    value = read_through(model, layer, per_query_head(model, W_V(model, layer)))
    out = W_O(model, layer).float()
    behind = held(model, layer, behind=True)
    if behind is not None:
        out = (out - out.mean(-1, keepdim=True) if behind.centres else out) * behind.gain.to(out)
    gram = _gram(value.mT)
    return gram, out, (gram * _gram(out)).sum((-1, -2)).sqrt()


def _reads(model: Model, layer: int, into: str) -> tuple[Tensor, Tensor]:
    """Of each head that reads: what it reads by [head d_model d_head], and S Sᵀ of what it makes of
    that [head d_head d_head]."""
    if into == "v":
        value = read_through(model, layer, per_query_head(model, W_V(model, layer)))
        return value, _gram(W_O(model, layer).float())
    query = read_through(model, layer, W_Q(model, layer))
    key = read_through(model, layer, per_query_head(model, W_K(model, layer)))
    return (query, _gram(key.mT)) if into == "q" else (key, _gram(query.mT))


def _gram(rows: Tensor) -> Tensor:
    """The products of rows with each other, [head n n] of [head n d_model]."""
    return rows @ rows.mT


def _by_chance(shape: Shape) -> tuple[float, float]:
    """Mean and standard deviation of the score of random maps of these shapes."""
    random = torch.Generator().manual_seed(_SEED)
    found = []
    for _ in range(_DRAWS):
        v, o, r, s = (torch.randn(shape.d_model, shape.d_head, generator=random) for _ in range(4))
        joined = o.T @ r
        square = ((v.T @ v @ joined) * (joined @ (s.T @ s))).sum()
        sizes = ((v.T @ v) * (o.T @ o)).sum() * ((r.T @ r) * (s.T @ s)).sum()
        found.append(float((square / sizes).sqrt()))
    return float(np.mean(found)), max(float(np.std(found)), 1e-9)


def _notes(model: Model, layers: list[int]) -> list[str]:
    parts = model.layer(layers[0]).parts if layers else {}
    notes = []
    if model.structure.pos_embed is None:
        notes.append(
            "Queries and keys are turned by their positions here, which is left out: into q and k "
            "the score is of a query beside its key."
        )
    if "attn.q_norm" in parts or "attn.k_norm" in parts:
        notes.append("Queries and keys are normed before they meet, which is left out.")
    return notes
