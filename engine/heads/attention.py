"""Where every head looks, clean and ablated: attention patterns, their scores, their thumbnails.

A pattern is the attention after the softmax, [query_pos key_pos]: the model's own, causal, each
query's row summing to 1. A head that is switched off still has one, of what it would look at; its
output is what is changed. Value-weighted patterns multiply each key's column by the norm of the
value vector there (Kobayashi et al. 2020, "Attention is not only a weight"): attention to a token
whose value is near 0 moves nothing. Query heads that share a value head share its norms. They do
not show the direction that is written, nor what the output projection makes of it, and their rows
do not sum to 1.

Patterns grow with the square of the prompt, so layers are captured a group at a time, and an
overview keeps only their thumbnails and scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..errors import EngineError
from ..experiment.experiment import Experiment
from ..experiment.results import Tokens
from ..experiment.sites import Head, resolve_sites
from ..model.model import Model
from ..model.worker import Steps
from ..passes import forward
from ..passes.ablation import edits_of, prepared
from ..passes.hooks import Edit
from ..registry import load
from .results import Attention, AttentionOverview, AttentionRun, HeadScores
from .scores import head_scores
from .thumbnails import pooled, shaded

GROUP_BYTES = 384 * 2**20
"""Patterns captured at once: those of 32 × 32 heads, clean and ablated, at 200 tokens."""
MOST_BYTES = 2 * 2**30
"""Patterns one answer may hold, or one layer of an overview; beyond, it is refused in words."""

_Layer = tuple[np.ndarray, np.ndarray]
"""One layer of one run: pattern [head_index query_pos key_pos], value norms [head_index key_pos]"""


def attention(
    e: Experiment, heads: Sequence[Head] | None = None, view: str | None = None
) -> Attention:
    """The attention patterns of an experiment, clean and ablated, with every head's scores.

    `heads` None gives every head, with axes [layer head_index query_pos key_pos]; a list of heads
    gives those alone, [head query_pos key_pos] in the order asked.
    Returns: Attention; its docstring gives units.
    Raises: EngineError in words, as for a prompt whose patterns would not fit in memory.
    """
    model = load(e.model)
    if heads is not None:
        heads = tuple(dict.fromkeys(heads))
        resolve_sites(heads, model.shape)
        if not heads:
            raise EngineError("No head is named; leave `heads` out to have them all.")
    return model.worker.submit(_attention(model, e, heads), view=view).result()


def attention_overview(
    e: Experiment, size: int = 48, weighted: bool = False, view: str | None = None
) -> AttentionOverview:
    """Every head's pattern as a thumbnail of at most `size` × `size`, and every head's scores.

    `weighted` draws value-weighted patterns; scores are of the patterns themselves either way.
    Returns: AttentionOverview; its docstring gives units and signs.
    Raises: EngineError in words.
    """
    if not 1 <= size <= 512:
        raise EngineError(f"A thumbnail is 1 to 512 pixels wide, not {size}.")
    model = load(e.model)
    return model.worker.submit(_overview(model, e, size, weighted), view=view).result()


def _attention(model: Model, e: Experiment, heads: tuple[Head, ...] | None) -> Steps[Attention]:
    yield from prepared(model, e)
    prompt, edits = _asked(model, e)
    s, n = model.shape, len(prompt)
    every = heads or s.heads
    _check_room(2 * len(every), n)
    place = {head: i for i, head in enumerate(every)}
    layers = sorted({head.layer for head in every})
    patterns = np.empty((2, len(every), n, n), np.float32)
    norms = np.empty((2, len(every), n), np.float32)
    for done, (layer, taken) in enumerate(_by_layer(model, prompt, edits, layers), 1):
        for h in range(s.n_heads):
            i = place.get(Head(layer, h))
            if i is not None:
                for run, (pattern, norm) in enumerate((taken[0], taken[-1])):
                    patterns[run, i], norms[run, i] = pattern[h], norm[h]
        yield done / len(layers)
    axes = (len(every),) if heads else (s.n_layers, s.n_heads)
    clean, ablated = (
        AttentionRun(
            pattern := patterns[run].reshape(*axes, n, n),
            norms[run].reshape(*axes, n),
            head_scores(pattern, prompt.ids),
        )
        for run in (0, 1)
    )
    return Attention(prompt, every, clean, ablated)


def _overview(model: Model, e: Experiment, size: int, weighted: bool) -> Steps[AttentionOverview]:
    key = ("attention", replace(e, answer="", distractor=""), size, weighted)
    kept = model.store.find(key)
    if isinstance(kept, AttentionOverview):
        return kept
    yield from prepared(model, e)
    prompt, edits = _asked(model, e)
    layers = range(model.shape.n_layers)
    small: tuple[list, list, list] = ([], [], [])
    scores: tuple[list[HeadScores], list[HeadScores]] = ([], [])
    for layer, taken in _by_layer(model, prompt, edits, layers):
        scored = [head_scores(pattern, prompt.ids) for pattern, _ in taken]
        drawn = [p * norms[:, None, :] if weighted else p for p, norms in taken]
        each = [pooled(pattern, size) for pattern in drawn]
        change = pooled(drawn[1] - drawn[0], size) if len(drawn) > 1 else np.zeros_like(each[0])
        for kept_small, one in zip(small, (each[0], each[-1], change), strict=True):
            kept_small.append(one)
        for kept_scores, score in zip(scores, (scored[0], scored[-1]), strict=True):
            kept_scores.append(score)
        yield (layer + 1) / len(layers)
    most = None if not weighted else max(float(np.abs(x).max()) for x in small[0] + small[1])
    found = AttentionOverview(
        tokens=prompt,
        clean=shaded(small[0], most if weighted else 1.0),
        ablated=shaded(small[1], most if weighted else 1.0),
        difference=shaded(small[2]),
        clean_scores=_stacked(scores[0]),
        ablated_scores=_stacked(scores[1]),
    )
    model.store.keep(key, found)
    return found


def _asked(model: Model, e: Experiment) -> tuple[Tokens, tuple[Edit, ...]]:
    prompt = model.tokenizer.encode(e.prompt, e.prepend_bos)
    forward.check_ids(model, prompt.ids)
    return prompt, edits_of(model, e, prompt, len(prompt))


def _check_room(n_patterns: int, n: int) -> None:
    if 4 * n_patterns * n * n > MOST_BYTES:
        raise EngineError(
            f"{n_patterns:,} attention patterns of {n:,} tokens take "
            f"{4 * n_patterns * n * n / 2**30:.1f} GiB; at most {MOST_BYTES / 2**30:.0f} GiB are "
            f"held at once. Name fewer heads, or shorten the prompt to at most "
            f"{math.isqrt(MOST_BYTES // (4 * n_patterns)):,} tokens."
        )


def _by_layer(
    model: Model, prompt: Tokens, edits: tuple[Edit, ...], layers: Sequence[int]
) -> Iterator[tuple[int, list[_Layer]]]:
    """Each layer in turn, clean and ablated, captured a group of layers a pass.

    With nothing ablated there is the clean run alone.
    Raises: EngineError for a layer without patterns.
    """
    for layer in layers:
        for name in ("pattern", "v"):
            if not model.reaches(name, layer):
                raise EngineError(
                    f"{model.checkpoint.architecture} has no {name} in layer {layer}, so its "
                    "attention cannot be shown."
                )
    runs = ((), edits) if edits else ((),)
    _check_room(len(runs) * model.shape.n_heads, len(prompt))
    each = max(1, GROUP_BYTES // (4 * len(runs) * model.shape.n_heads * len(prompt) ** 2))
    for start in range(0, len(layers), each):
        group = layers[start : start + each]
        names = frozenset((name, layer) for name in ("pattern", "v") for layer in group)
        found = forward.run(model, [forward.Row(prompt.ids, own, (), names) for own in runs])
        for layer in group:
            yield layer, [_taken(model, result, layer) for result in found]


def _taken(model: Model, result: forward.RowResult, layer: int) -> _Layer:
    pattern = result.captured.pop(("pattern", layer)).float()
    norms = result.captured.pop(("v", layer)).float().norm(dim=-1).T  # [n_key_value_heads pos]
    shared = model.shape.n_heads // norms.shape[0]
    return pattern.cpu().numpy(), norms.repeat_interleave(shared, 0).cpu().numpy()


def _stacked(layers: list[HeadScores]) -> HeadScores:
    names = HeadScores.__dataclass_fields__
    return HeadScores(**{name: np.stack([getattr(s, name) for s in layers]) for name in names})
