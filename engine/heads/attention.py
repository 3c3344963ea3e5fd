"""Where every head looks, clean and ablated: attention patterns, their scores, their thumbnails.

A pattern is the attention after the softmax, [query_pos key_pos]: the model's own, causal, each
query's row summing to 1, less what a sink that is no token takes (GPT-OSS) and unless the pattern
itself is changed, which notes say. A head that is switched off still has one, of what it would look
at; its output is what is changed. Value-weighted patterns multiply each key's column by the norm of
the value vector there (Kobayashi et al. 2020, "Attention is not only a weight"): attention to a
token whose value is near 0 moves nothing. Query heads that share a value head share its norms. They
do not show the direction that is written, nor what the output projection makes of it, and their
rows do not sum to 1.

Layers without heads, or without a pattern that can be seen, are left blank (NaN); so are the value
norms of a layer whose values cannot be seen, as in latent attention.

Patterns grow with the square of the prompt, so layers are captured a group at a time, and an
overview keeps only their thumbnails and scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import EngineError
from ..experiment.experiment import Experiment
from ..experiment.results import Tokens
from ..experiment.sites import Head, Heads, Shape, Site, parse_sites, resolve_sites
from ..model.attention import has_sink
from ..model.model import Model
from ..model.worker import Steps
from ..passes import forward
from ..passes.hooks import Edit
from ..passes.overflow import check_numbers
from ..passes.prepare import prepare
from ..registry import model_of
from .results import Attention, AttentionOverview, AttentionRun, HeadScores, check_values
from .scores import head_scores
from .thumbnails import pooled, shaded

GROUP_BYTES = 384 * 2**20
"""Patterns captured at once: those of 32 × 32 heads, clean and ablated, at 200 tokens."""
MOST_BYTES = 2 * 2**30
"""Patterns one answer may hold, or one layer of an overview; beyond, it is refused in words."""

_Layer = tuple[np.ndarray, np.ndarray]
"""One layer of one run: pattern [head_index query_pos key_pos], value norms [head_index key_pos]"""


def attention(e: Experiment, heads: Any = None, view: str | None = None) -> Attention:
    """The attention patterns of an experiment, clean and ablated, with every head's scores.

    `heads` None gives every head, with axes [layer head_index query_pos key_pos], NaN in layers
    without heads; heads, as text (`"0.1 a2"`) or a list, give those alone,
    [head query_pos key_pos] in the order asked.
    Returns: Attention; its docstring gives units.
    Raises: EngineError in words, as for a prompt whose patterns would not fit in memory.
    """
    model = model_of(e)
    if heads is not None:
        heads = parse_sites(heads)
        other = next((site for site in heads if not isinstance(site, Head | Heads)), None)
        if other is not None:
            raise EngineError(f"{other} is no head, and attention is shown of heads (9.1).")
        heads = _spelt_out(heads, model.shape)
        if not heads:
            raise EngineError("No head is named; leave `heads` out to have them all.")
    return model.worker.submit(_attention(model, e, heads), view=view).result()


def attention_overview(
    e: Experiment, size: int = 48, weighted: bool = False, view: str | None = None
) -> AttentionOverview:
    """Every head's pattern as a thumbnail of at most `size` × `size`, and every head's scores.

    `weighted` draws value-weighted patterns; scores are of the patterns themselves either way.
    Layers without heads are blank, their scores NaN.
    Returns: AttentionOverview; its docstring gives units and signs.
    Raises: EngineError in words.
    """
    if not 1 <= size <= 512:
        raise EngineError(f"A thumbnail is 1 to 512 pixels wide, not {size}.")
    model = model_of(e)
    return model.worker.submit(_overview(model, e, size, weighted), view=view).result()


def _spelt_out(sites: Sequence[Site], shape: Shape) -> tuple[Head, ...]:
    """Heads in the order written, whole layers by head. Raises: SiteError for one there is not."""
    result: dict[Head, None] = {}
    for site in sites:
        result.update(dict.fromkeys(h for h in resolve_sites([site], shape) if isinstance(h, Head)))
    return tuple(result)


def _attention(model: Model, e: Experiment, heads: tuple[Head, ...] | None) -> Steps[Attention]:
    prompt, edits = yield from _asked(model, e)
    s, n = model.shape, len(prompt)
    every = _with_patterns(model) if heads is None else heads
    layers = sorted({head.layer for head in every})
    _check_patterns(model, layers)
    axes = (s.n_layers, s.n_heads) if heads is None else (len(every),)
    _check_room(2 * math.prod(axes), n)
    patterns = np.full((2, *axes, n, n), np.nan, np.float32)
    norms = np.full((2, *axes, n), np.nan, np.float32)
    for done, (layer, taken) in enumerate(_by_layer(model, prompt, edits, layers), 1):
        here = [(i, head.head) for i, head in enumerate(every) if head.layer == layer]
        for run, (pattern, norm) in enumerate((taken[0], taken[-1])):
            for i, h in here:
                at = (run, i) if heads is not None else (run, layer, h)
                patterns[at], norms[at] = pattern[h], norm[h]
        yield done / len(layers)
    without = tuple(layer for layer in layers if not model.reaches("v", layer))
    clean, ablated = (
        AttentionRun(pattern, norm, head_scores(pattern, prompt.ids), without)
        for pattern, norm in zip(patterns, norms, strict=True)
    )
    return Attention(prompt, every, clean, ablated, _notes(model, layers, edits))


def _overview(model: Model, e: Experiment, size: int, weighted: bool) -> Steps[AttentionOverview]:
    key = ("attention", replace(e, answer="", distractor=""), size, weighted)
    kept = model.store.get(key)
    if isinstance(kept, AttentionOverview):
        return kept
    prompt, edits = yield from _asked(model, e)
    every = _with_patterns(model)
    layers = sorted({head.layer for head in every})
    _check_patterns(model, layers)
    if weighted:
        check_values(tuple(layer for layer in layers if not model.reaches("v", layer)))
    small: list[list[np.ndarray | None]] = [[None] * model.shape.n_layers for _ in range(3)]
    blank = head_scores(np.full((model.shape.n_heads, 1, 1), np.nan, np.float32), (0,))
    scores = [[blank] * model.shape.n_layers for _ in range(2)]
    for done, (layer, taken) in enumerate(_by_layer(model, prompt, edits, layers), 1):
        scored = [head_scores(pattern, prompt.ids) for pattern, _ in taken]
        drawn = [p * norms[:, None, :] if weighted else p for p, norms in taken]
        each = [pooled(pattern, size) for pattern in drawn]
        change = pooled(drawn[1] - drawn[0], size) if len(drawn) > 1 else np.zeros_like(each[0])
        for kept_small, one in zip(small, (each[0], each[-1], change), strict=True):
            kept_small[layer] = one
        for kept_scores, score in zip(scores, (scored[0], scored[-1]), strict=True):
            kept_scores[layer] = score
        yield done / len(layers)
    heights = [float(np.abs(x).max()) for x in small[0] + small[1] if x is not None]
    most = max(heights) if weighted else 1.0
    result = AttentionOverview(
        tokens=prompt,
        clean=shaded(small[0], most),
        ablated=shaded(small[1], most),
        difference=shaded(small[2]),
        clean_scores=_stacked(scores[0]),
        ablated_scores=_stacked(scores[1]),
        heads=every,
        notes=_notes(model, layers, edits),
    )
    model.store.keep(key, result)
    return result


def _with_patterns(model: Model) -> tuple[Head, ...]:
    """The heads whose pattern can be seen. Raises: EngineError where that is none."""
    result = tuple(head for head in model.shape.heads if model.reaches("pattern", head.layer))
    if not result:
        layer = model.shape.heads[0].layer
        raise EngineError(f"{model.why_not('pattern', layer)} So no attention can be shown.")
    return result


def _check_patterns(model: Model, layers: Sequence[int]) -> None:
    for layer in layers:
        if not model.reaches("pattern", layer):
            raise EngineError(
                f"{model.checkpoint.architecture} has no pattern in layer {layer}, so its "
                "attention cannot be shown."
            )


def _notes(model: Model, layers: Sequence[int], edits: tuple[Edit, ...]) -> tuple[str, ...]:
    """Where the rows of a pattern do not sum to 1, and why."""
    notes = []
    attending = {layer: model.layer(layer).attention for layer in layers}
    sinks = [layer for layer, one in attending.items() if one is not None and has_sink(one)]
    if sinks:
        where = "" if len(sinks) == len(layers) else f" of layers {', '.join(map(str, sinks))}"
        notes.append(
            f"The rows of the patterns{where} sum to less than 1: each head has a sink, which is "
            "no token, and it takes the rest."
        )
    changed = sorted({edit.layer for edit in edits if edit.point == "pattern"})
    if changed:
        notes.append(
            f"Patterns of layer {', '.join(map(str, changed))} are changed, and used as they are: "
            "their rows need not sum to 1."
        )
    return tuple(notes)


def _asked(model: Model, e: Experiment) -> Steps[tuple[Tokens, tuple[Edit, ...]]]:
    prompt = model.tokenizer.encode(e.prompt, e.prepend_bos)
    forward.check_ids(model, prompt.ids)
    prepared = yield from prepare(model, e, prompt)
    return prompt, prepared.edits(len(prompt))


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
    """
    runs = ((), edits) if edits else ((),)
    _check_room(len(runs) * model.shape.n_heads, len(prompt))
    each = max(1, GROUP_BYTES // (4 * len(runs) * model.shape.n_heads * len(prompt) ** 2))
    for start in range(0, len(layers), each):
        group = layers[start : start + each]
        names = frozenset(
            (name, layer)
            for name in ("pattern", "v")
            for layer in group
            if model.reaches(name, layer)
        )
        results = forward.run(model, [forward.Row(prompt.ids, own, (), names) for own in runs])
        for layer in group:
            yield layer, [_taken(model, result, layer) for result in results]


def _taken(model: Model, result: forward.RowResult, layer: int) -> _Layer:
    pattern = result.captured.pop(("pattern", layer)).float()
    check_numbers(model, pattern, "look at")
    values = result.captured.pop(("v", layer), None)
    if values is None:
        return pattern.cpu().numpy(), np.full(pattern.shape[:2], np.nan, np.float32)
    norms = values.float().norm(dim=-1).T  # [n_key_value_heads pos]
    check_numbers(model, norms, "look at")
    shared = model.shape.n_heads // norms.shape[0]
    return pattern.cpu().numpy(), norms.repeat_interleave(shared, 0).cpu().numpy()


def _stacked(layers: list[HeadScores]) -> HeadScores:
    names = HeadScores.__dataclass_fields__
    return HeadScores(**{name: np.stack([getattr(s, name) for s in layers]) for name in names})
