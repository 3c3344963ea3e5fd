"""The one place a model is called: rows in, logits and captures out.

A row is tokens with its own edits. One pass carries many rows: until its first edit a row is
identical to its clean run, so it joins the batch only there, from the clean residual that the
store keeps (late joining). Rows of different length never share a pass, and only the positions
asked for are unembedded. No hook outlives its pass.

The pass is driven by the ids of all its rows: masks and position embeddings are made for them, the
rows' residuals are put in at the layers where they join. A row alone in the blocks goes as its
family wrote them; several go by the faster kernels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import EmptyPrompt, EngineError, TokenError
from ..model.kernels import as_written, written_into
from ..model.model import Model
from ..model.place import SOFTMAX
from ..model.threads import fitting
from ..model.through import hidden_of
from .beside import cut
from .entering import joined, skipped, trimmed
from .hooks import Edit
from .overflow import check_numbers
from .points import Capture as Capture
from .points import Look, by_place, passing

CHUNK_BYTES = 512 * 2**20
"""Activations one pass may hold at once."""


@dataclass(frozen=True)
class Row:
    """Tokens with edits: one line of a batch.

    `logits_at`: the positions whose logits are wanted. `captures`: the activations wanted, at every
    position, or `at_end` at the last one alone (of a pattern, the last query).
    """

    ids: tuple[int, ...]
    edits: tuple[Edit, ...] = ()
    logits_at: tuple[int, ...] = ()
    captures: frozenset[Capture] = frozenset()
    at_end: bool = False


@dataclass
class RowResult:
    """What a row gave: `logits` float32 [len(logits_at), d_vocab], and each capture without the
    batch axis (nor the position's, where it is `at_end`), on the model's device."""

    logits: Tensor
    captured: dict[Capture, Tensor] = field(default_factory=dict)


def run(model: Model, rows: Sequence[Row]) -> list[RowResult]:
    """Run rows through a model, on its worker's thread.

    Returns: one result a row, in the order given.
    Raises: TokenError for rows the model cannot read; EngineError where memory does not suffice.
    """
    if not model.worker.is_current:
        raise RuntimeError("forward.run was called outside the model's worker")
    for row in rows:
        check_ids(model, row.ids)
    results: dict[int, RowResult] = {}
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i].ids), _joins(model, rows[i])))
    for chunk in _chunks(model, rows, order):
        _halving(model, rows, chunk, results)
    return [results[i] for i in range(len(rows))]


def clean_stream(model: Model, ids: tuple[int, ...]) -> Tensor:
    """The clean residual stream of a text, entering each layer and leaving the last:
    [n_layers + 1, pos, d_model]. Kept in the store, so not to be changed.

    Raises: TokenError for ids the model cannot read.
    """
    check_ids(model, ids)
    return _clean_streams(model, [ids])[ids]


def unembed(model: Model, vectors: Tensor, memory: Tensor | None = None) -> Tensor:
    """What the model would say of residual vectors [n d_model] if its blocks ended there.

    All that the architecture does after its blocks is done, by its own code: final norm,
    unembedding, scaling, softcapping. `memory` [at least n, d_vocab]: where they may be put, so
    that they last until it is used again. Returns: logits [n d_vocab], float32.
    Raises: EngineError where they overflow.
    """
    driver = torch.zeros(len(vectors), 1, dtype=torch.long, device=model.device)
    with ExitStack() as stack:
        stack.enter_context(fitting(model, len(vectors)))
        for block in model.blocks:
            stack.enter_context(skipped(block, model.block_gives))
        stack.enter_context(
            joined(model, model.shape.n_layers, vectors.to(model.dtype)[:, None], first=True)
        )
        if memory is not None:
            stack.enter_context(written_into(model.unembed, memory))
        logits = model(driver)[:, 0].float()
    check_numbers(model, logits)
    return logits


def check_ids(model: Model, ids: Sequence[int], what: str = "prompt") -> None:
    """Refuse ids the model cannot read, before they reach the device; `what` names them.

    Raises: TokenError with the numbers; EmptyPrompt for a prompt without any.
    """
    n, most = len(ids), model.shape.n_ctx
    if n == 0 and what == "prompt":
        raise EmptyPrompt("The prompt is empty: type something, or switch BOS on.")
    if n == 0:
        raise TokenError(f"The {what} has no tokens.")
    if most is not None and n > most:
        raise TokenError(f"The {what} is {n} tokens long; this model reads at most {most}.")
    bad = next((i for i in ids if not 0 <= i < model.shape.d_vocab), None)
    if bad is not None:
        raise TokenError(
            f"Token id {bad} is outside the model's vocabulary of {model.shape.d_vocab}: the "
            "tokenizer does not belong to this model."
        )


def _joins(model: Model, row: Row) -> int:
    """The layer at which a row first differs from what the store can give."""
    return min(_layers(row), default=model.shape.n_layers)


def _last(model: Model, rows: Sequence[Row]) -> int:
    """The last layer that must be run: beyond it nothing is wanted where no row wants logits."""
    if any(row.logits_at for row in rows):
        return model.shape.n_layers
    return max(layer for row in rows for layer in (*_layers(row), _joins(model, row)))


def _layers(row: Row) -> list[int]:
    """The layers a row edits or captures."""
    return [e.layer for e in row.edits] + [layer for _, layer in row.captures]


def _chunks(model: Model, rows: Sequence[Row], order: list[int]) -> Iterator[list[int]]:
    """Cut ordered rows into passes: one length each, within the byte budget."""
    chunk: list[int] = []
    held = 0
    for i in order:
        cost = row_bytes(model, rows[i])
        if chunk and (len(rows[i].ids) != len(rows[chunk[0]].ids) or held + cost > CHUNK_BYTES):
            yield chunk
            chunk, held = [], 0
        chunk.append(i)
        held += cost
    if chunk:
        yield chunk


def row_bytes(model: Model, row: Row) -> int:
    """Activations a row holds at most at once, in bytes."""
    s, n = model.shape, len(row.ids)
    widest = 6 * s.d_model + 3 * (s.d_mlp or 8 * s.d_model) + 3 * s.n_heads * n
    kept = len(row.captures) * (s.d_model + s.n_heads * n) * (1 if row.at_end else n)
    return (n * widest + kept + len(row.logits_at) * s.d_vocab * 2) * 4


def _halving(
    model: Model, rows: Sequence[Row], chunk: list[int], results: dict[int, RowResult]
) -> None:
    """Run a chunk; on an out-of-memory error, its halves."""
    try:
        results.update(zip(chunk, _pass(model, [rows[i] for i in chunk]), strict=True))
        return
    except (torch.OutOfMemoryError, RuntimeError) as wrong:
        if not is_out_of_memory(wrong):
            raise
        if len(chunk) == 1:
            raise EngineError(
                f"A prompt of {len(rows[chunk[0]].ids)} tokens does not fit in the memory left on "
                f"{model.device}; shorten it, or load the model in a smaller dtype."
            ) from wrong
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
    half = len(chunk) // 2
    _halving(model, rows, chunk[:half], results)
    _halving(model, rows, chunk[half:], results)


def is_out_of_memory(wrong: Exception) -> bool:
    """Whether an error is the device's memory giving out, however torch words it."""
    return (
        isinstance(wrong, torch.OutOfMemoryError) or "can't allocate memory" in str(wrong).lower()
    )


def _pass(model: Model, rows: list[Row]) -> list[RowResult]:
    """One forward pass over rows of one length, ordered by the layer where they join."""
    results = [RowResult(torch.empty(0)) for _ in rows]
    with ExitStack() as stack:
        if model.late_joining:
            _join_late(model, rows, stack)
        stack.enter_context(fitting(model, sum(len(row.ids) for row in rows)))
        stack.enter_context(_edited(model, rows, results))
        running = sum(_joins(model, row) < model.shape.n_layers for row in rows)
        stack.enter_context(as_written(running <= 1))
        picked = [(r, p) for r, row in enumerate(rows) for p in row.logits_at]
        stack.enter_context(trimmed(model.unembed, picked))
        logits = model(torch.tensor([row.ids for row in rows], device=model.device))
    check_numbers(model, logits)
    parts = logits[0, : len(picked)].float().split([len(row.logits_at) for row in rows])
    for result, part in zip(results, parts, strict=True):
        result.logits = part
    return results


def _join_late(model: Model, rows: list[Row], stack: ExitStack) -> None:
    """Have each row enter at the layer where it joins, from its clean residual stream."""
    joins = [_joins(model, row) for row in rows]
    last = _last(model, rows)
    # rows that all set out at the first layer are the driver's own: nothing is put in
    texts = list(dict.fromkeys(row.ids for row in rows)) if any(joins) else []
    clean = _clean_streams(model, texts) if texts else {}
    for layer, block in enumerate(model.blocks):
        if layer < joins[0] or layer > last:
            stack.enter_context(skipped(block, model.block_gives))
    if not texts:
        return
    for layer in sorted(set(joins)):
        ids = [row.ids for row, at in zip(rows, joins, strict=True) if at == layer]
        new = [clean[text][layer] for text in ids]
        stack.enter_context(joined(model, layer, torch.stack(new), layer == joins[0]))
    for layer in range(joins[0], min(last + 1, model.shape.n_layers)):
        stack.enter_context(cut(model, layer, len(rows)))


def _clean_streams(model: Model, texts: list[tuple[int, ...]]) -> dict[tuple[int, ...], Tensor]:
    """The clean streams of texts of one length: from the store, else by running them."""
    result: dict[tuple[int, ...], Tensor] = {t: model.store[t] for t in texts if t in model.store}
    missing = [ids for ids in texts if ids not in result]
    each = max(1, CHUNK_BYTES // row_bytes(model, Row(texts[0])))
    for start in range(0, len(missing), each):
        part = missing[start : start + each]
        for ids, stream in zip(part, _run_clean(model, part), strict=True):
            result[ids] = stream
            model.store.keep(ids, stream)
    return result


def _run_clean(model: Model, texts: list[tuple[int, ...]]) -> list[Tensor]:
    layers: list[Tensor] = []

    def before(_block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        layers.append(hidden_of(args, kwargs))

    def after(_block: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        layers.append(output if isinstance(output, Tensor) else output[0])

    with ExitStack() as stack:
        stack.enter_context(fitting(model, sum(map(len, texts))))
        stack.enter_context(as_written(len(texts) == 1))
        for block in model.blocks:
            stack.callback(block.register_forward_pre_hook(before, with_kwargs=True).remove)
        stack.callback(model.blocks[-1].register_forward_hook(after).remove)
        stack.enter_context(trimmed(model.unembed, [(0, 0)]))
        model(torch.tensor(texts, device=model.device))
    return [stream.clone() for stream in torch.stack(layers, dim=1)]


def _edited(model: Model, rows: list[Row], results: list[RowResult]) -> Any:
    """Edit and capture at the places that rows name."""
    keep: dict[Capture, list[int]] = {}
    for r, row in enumerate(rows):
        for capture in row.captures:
            keep.setdefault(capture, []).append(r)

    def looking(at: Capture) -> Look:
        def look(activation: Tensor) -> None:
            for r in keep[at]:
                kept = activation[r]
                if rows[r].at_end:
                    kept = kept[:, -1] if at[0] in SOFTMAX else kept[-1]
                results[r].captured[at] = kept.detach().clone()

        return look

    looks = {at: looking(at) for at in keep}
    return passing(model, len(rows[0].ids), by_place([row.edits for row in rows]), looks)
