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
from jaxtyping import Float
from torch import Tensor

from ..asking import ask
from ..errors import EngineError
from ..experiment.question import Question
from ..experiment.sites import Head, Shape, parse_sites
from ..model.model import Model
from ..model.weights import W_K, W_O, W_Q, W_V, per_query_head
from ..model.work import Answer
from ..model.worker import Steps
from ..showing.site_grid import SiteGrid
from ..showing.writing import Rows
from .held import held, read_through

INTO = {"q": "queries", "k": "keys", "v": "values"}
"""What of the later head reads what the earlier one writes."""
_DRAWS, _SEED = 8, 0
_PRODUCTS = 2**31
"""Multiplications of one step."""


@dataclass(frozen=True, eq=False)
class Composition:
    """How much each head reads of what each earlier one writes.

    `score` [layer head_index layer head_index]: from the first head into the second's `into`, 0 to
    1; NaN where the second does not come in a later layer, in layers without heads, and where not
    done yet. `chance` and `spread`: mean and standard deviation over random maps of these shapes.
    `shape`: the model's. `notes`: sentences. `progress`: 0 to 1. Source, and what it does not show:
    this module.
    """

    into: str
    score: Float[np.ndarray, "layer head_index layer head_index"]
    chance: float
    spread: float
    shape: Shape
    notes: tuple[str, ...] = ()
    progress: float = 1.0

    @property
    def done(self) -> bool:
        """Whether every pair is."""
        return self.progress >= 1.0

    def of(self, sender: str | Head, reader: str | Head) -> float:
        """The score from one head into another. Raises: SiteError, EngineError for no head."""
        one, other = (_head(head, self.shape) for head in (sender, reader))
        return float(self.score[one.layer, one.head, other.layer, other.head])

    def grid(self, reader: str | Head) -> SiteGrid:
        """What one head reads of each earlier one."""
        head = _head(reader, self.shape)
        score = self.score[:, :, head.layer, head.head]
        name = f"composition into\n{INTO[self.into]} of {head}"
        return SiteGrid(score, np.full(len(score), np.nan), name)

    def table(self, most: int | None = 100) -> Rows:
        """One row a pair, the highest scores first, `most` of them: `sender`, `reader`, `score`,
        and by how many spreads it is above `chance`."""
        order = np.argsort(-np.nan_to_num(self.score, nan=-1.0), axis=None)
        n = int(np.isfinite(self.score).sum())
        places = np.stack(np.unravel_index(order[: n if most is None else min(n, most)],
                                           self.score.shape), axis=1)  # fmt: skip
        return [
            {"sender": str(Head(a, b)), "reader": str(Head(c, d)), "into": self.into,
             "score": float(self.score[a, b, c, d]), "chance": self.chance,
             "spreads": float((self.score[a, b, c, d] - self.chance) / self.spread)}
            for a, b, c, d in places.tolist()
        ]  # fmt: skip


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
        return Composition(asked.into, score.copy(), chance, spread, shape, tuple(notes), progress)

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


def _head(given: str | Head, shape: Shape) -> Head:
    (site,) = parse_sites([given] if isinstance(given, Head) else given)
    if not isinstance(site, Head) or site not in shape.heads:
        raise EngineError(f"{site} is no head of this model; heads are named as 9.1.")
    return site
