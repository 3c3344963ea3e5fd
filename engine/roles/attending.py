"""Which word each head looks at, by its weights: the score of every query word at every key word.

What is shown is the model's own pre-softmax score q · k (Elhage et al. 2021's QK circuit), by its
own code: the norm of the head's layer, W_Q and W_K with their biases, norms of queries and keys,
rotation by position, softmax scale, cap, and what a position adds (ALiBi). The query word stands
`distance` tokens behind the key word; both enter the head's layer as what leaves layer 0, or as the
embedding, as in OV scores. `keys_through`: a key is not the word itself but what an earlier head
writes of it alone (K-composition: an induction head looks for the token after its own earlier
occurrence, which is where a previous-token head has written that token).

What it does not show: what the head looks at in a text, where every layer before it has written
into the stream and all other tokens compete; nor what it does with what it finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..asking import ask
from ..errors import EngineError
from ..experiment.numbers import whole_number
from ..experiment.question import Question
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes import forward
from ..passes.hooks import Edit
from .looks import QKScores, one_head
from .scoring import check_embedding, checking_runs, layer_0_notes, streams
from .words import notes_of, read_in, read_words
from .written import check_layer, written

MOST_PAIRS = 2500
"""Words that ask, times words that are looked at."""
_PRODUCTS = 2**31
"""Multiplications of one step."""
_HIDDEN = 0.9
"""Of the least number there is: what a mask puts in a score's place lies below."""


@dataclass(frozen=True)
class ScoreQK(Question[QKScores, QKScores]):
    """Which words each head looks at from which.

    `queries`: words in order, or the name of one of WORD_LISTS; `keys`: the same, of those that are
    looked at; None: the queries. `distance`: how many tokens a query stands behind its key.
    `keys_through`: an earlier head, as "0.3", of which what it writes of the key word is looked at;
    "" for the word itself. `embedding`: one of EMBEDDINGS; words are read alone.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "qk_scores"
    n_plain = 3
    model: str
    queries: tuple[str, ...] = ()
    keys: tuple[str, ...] | None = None
    distance: int = 1
    keys_through: str = ""
    embedding: str = "layer 0"

    def __post_init__(self) -> None:
        object.__setattr__(self, "queries", read_words(self.queries or "months"))
        if self.keys is not None:
            object.__setattr__(self, "keys", read_words(self.keys))
        n, m = len(self.queries), len(self.keys or self.queries)
        if n * m > MOST_PAIRS:
            raise EngineError(
                f"{n:,} words that ask and {m:,} looked at are {n * m:,} pairs; "
                f"{MOST_PAIRS:,} at most are scored."
            )
        distance = whole_number(self.distance, "The distance")
        if distance < 1:
            raise EngineError(f"A query stands 1 token or more behind its key, not {distance:,}.")
        object.__setattr__(self, "distance", distance)
        through = str(one_head(self.keys_through)) if self.keys_through else ""
        object.__setattr__(self, "keys_through", through)
        check_embedding(self.embedding)

    @property
    def model_name(self) -> str:
        return self.model

    def answered(self, model: Model) -> Answer[QKScores, QKScores]:
        """Snapshots layer by layer; the last has all."""
        return Answer(lambda put: _steps(model, self, put))


def qk_scores(
    model: str,
    queries: str | Sequence[str] = "months",
    keys: str | Sequence[str] | None = None,
    distance: int = 1,
    keys_through: str = "",
    embedding: str = "layer 0",
    view: str | None = None,
) -> QKScores:
    """Ask `ScoreQK` and wait for the end. Raises: EngineError in words, as for a model whose scores
    cannot be seen."""
    into = None if keys is None else read_words(keys)
    asked = ScoreQK(model, read_words(queries), into, distance, keys_through, embedding)
    return ask(asked, view)


def _steps(model: Model, asked: ScoreQK, put: Callable[[QKScores], None]) -> Steps[QKScores]:
    yield 0.0
    shape = model.shape
    layers = [
        layer for layer in range(shape.n_layers)
        if model.reaches("attn_scores", layer) and model.reaches("resid_pre", layer)
    ]  # fmt: skip
    if not layers:
        raise EngineError(f"{model.why_not('attn_scores', 0)} So no word is scored at another.")
    queries, asked_at = read_in(model, asked.queries, "alone")
    keys, read_at = queries, asked_at
    if asked.keys is not None:
        keys, read_at = read_in(model, asked.keys, "alone")
    asking = yield from streams(model, asked_at, asked.embedding)
    looked_at = yield from streams(model, read_at, asked.embedding)
    notes = [*notes_of(queries, keys), *layer_0_notes(model, asked.embedding)]
    if asked.keys_through:
        through = one_head(asked.keys_through, shape)
        runs = yield from checking_runs(model, keys)
        check_layer(model, through.layer, runs)
        if through.layer == 0 and asked.embedding != "embedding":  # it stands before layer 0's end
            looked_at = yield from streams(model, read_at, "embedding")
        looked_at = written(model, through.layer, looked_at)[through.head]
        layers = [layer for layer in layers if layer > through.layer]
    score = np.full(
        (shape.n_layers, shape.n_heads, len(queries.ids), len(keys.ids)), np.nan, np.float32
    )

    def snapshot(progress: float) -> QKScores:
        return QKScores(
            queries, keys, score.copy(), asked.distance, asked.keys_through, asked.embedding,
            model.structure.pos_embed is None, tuple(notes), progress=progress,
        )  # fmt: skip

    rows = list(_layout(model, asking, looked_at, asked.distance))
    hidden = []
    for done, layer in enumerate(layers):
        for share in _scored(model, layer, rows, score[layer]):
            yield 0.1 + 0.9 * (done + share) / len(layers)
        if np.isnan(score[layer]).any():
            hidden.append(layer)
        put(snapshot(min(0.1 + 0.9 * (done + 1) / len(layers), 0.999)))
    if hidden:
        notes.append(
            f"Layers {', '.join(map(str, hidden))} do not look {asked.distance:,} tokens back."
        )
    whole = snapshot(1.0)
    put(whole)
    return whole


@dataclass(frozen=True, eq=False)
class _Row:
    """Vectors [pos d_model] that enter a layer, and where pairs stand among them: of each, which
    query and key it is, and the positions of both."""

    vectors: Tensor
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _layout(model: Model, queries: Tensor, keys: Tensor, distance: int) -> Iterator[_Row]:
    """Rows in which every query stands behind every key: as far as is asked where positions turn
    queries and keys; where they do not, many of either behind each other."""
    n, m, most = len(queries), len(keys), (model.shape.n_ctx or 2 * MOST_PAIRS) // 2
    if model.structure.pos_embed is not None:
        for some in torch.arange(n).split(most):
            for others in torch.arange(m).split(most):
                a, b = (one.ravel() for one in np.indices((len(some), len(others))))
                vectors = torch.cat([keys[others], queries[some]])
                yield _Row(vectors, (some.numpy()[a], others.numpy()[b], len(others) + a, b))
        return
    if distance > most:
        raise EngineError(
            f"The model reads {2 * most:,} tokens, in which words are scored that stand at most "
            f"{most:,} apart, not {distance:,}."
        )
    i, j = (one.ravel() for one in np.indices((n, m)))
    for start in range(0, len(i), distance):
        some = np.minimum(np.arange(start, start + distance), len(i) - 1)
        at = np.arange(distance)
        vectors = torch.cat([keys[j[some]], queries[i[some]]])
        yield _Row(vectors, (i[some], j[some], distance + at, at))


def _scored(model: Model, layer: int, rows: Sequence[_Row], into: np.ndarray) -> Iterator[float]:
    """Put the scores of a layer's heads into [head_index query key], some rows a step. Yields: the
    share that is done."""
    n = len(rows[0].vectors)
    cost = sum(p.numel() for p in model.blocks[layer].parameters()) * n
    at_once, least = max(1, _PRODUCTS // cost), _HIDDEN * torch.finfo(model.dtype).min
    token = model.tokenizer.encode("", None).ids[:1] or (0,)
    for start in range(0, len(rows), at_once):
        some = rows[start : start + at_once]
        given = [
            forward.Row(
                token * len(row.vectors),
                (Edit("resid_pre", layer, None, tuple(range(len(row.vectors))), row.vectors),),
                captures=frozenset({("attn_scores", layer)}),
            )
            for row in some
        ]
        for row, result in zip(some, forward.run(model, given), strict=True):
            i, j, query, key = row.pairs
            seen = result.captured["attn_scores", layer].float().cpu().numpy()[:, query, key]
            into[:, i, j] = np.where(seen > least, seen, np.nan)
        yield (start + len(some)) / len(rows)
