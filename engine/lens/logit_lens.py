"""Logit lens: what the model would say after each layer (nostalgebraist, 2020).

The model's own final norm and unembedding are applied to the residual stream after every layer
(`resid_post`), or to what a layer's attention or MLP adds to it alone. The last row of
`resid_post` is the model's output. What it does not show: a layer may know a thing in directions
that only later layers turn towards the vocabulary, so an unreadable row is no proof of ignorance;
and a part read alone is normalized by its own length, not by that of the stream it joins.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import EngineError, ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.numbers import whole_number
from ..model.model import Model
from ..model.worker import Steps
from ..passes import forward
from ..passes.hooks import Edit
from ..passes.prepare import prepare
from ..registry import model_of
from ..scoring.answers import Answers, answers_of
from ..text.shown import token_text
from .cells import Cells, Rows, Scratch, cells
from .results import Lens
from .runs import LensRun, Trace

STREAMS = ("resid_post", "attn_out", "mlp_out")
_PARTS = ("resid_pre", "resid_post", "attn_out", "mlp_out")
_BYTES = 37 * 2**20
"""Logits of a run held at a time, those of every layer at a few positions: with less the
unembedding's weights are read more often, with more they take more memory."""
_BEST = 5
"""Tokens of a cell, where the vocabulary has as many."""


def logit_lens(
    e: Experiment,
    k: int | None = None,
    stream: str = "resid_post",
    at: str = "prompt",
    last: int | None = None,
    view: str | None = None,
) -> Lens:
    """Read every layer through the unembedding, at every position, clean and ablated.

    `k`: how many tokens of each cell; 5 where it is not said, or the whole of a smaller vocabulary.
    `at` "answer" appends the tokens answer and distractor share to the prompt, so that its last
    position is where they are decided. `last`: how many positions are read, the last ones; all
    without it.
    Returns: Lens; its docstring gives axes, units and signs.
    Raises: EngineError in words, also for an architecture the lens does not fit.
    """
    if stream not in STREAMS:
        raise ExperimentError(f"The lens reads {', '.join(STREAMS)}, not “{stream[:40]}”.")
    if at not in ("prompt", "answer"):
        raise ExperimentError(f"The lens ends at the prompt or the answer, not at “{at[:40]}”.")
    if last is not None and last < 1:
        raise ExperimentError(f"The lens reads at least one position, not {last}.")
    model = model_of(e)
    k = min(_BEST, model.shape.d_vocab) if k is None else whole_number(k, "k")
    if not 1 <= k <= model.shape.d_vocab:
        raise ExperimentError(f"A cell can show 1 to {model.shape.d_vocab:,} tokens, not {k}.")

    def steps() -> Steps[Lens]:
        return (yield from _lens(model, e, k, stream, at, last))

    return model.worker.submit(steps(), view=view).result()


@dataclass(frozen=True)
class _Stream:
    """One run's vectors [pos d_model]: those of each layer, and what the last layer leaves."""

    layers: list[Tensor]
    end: Tensor


@dataclass(frozen=True)
class _Wanted:
    """Which positions are read, [first, end), and what is shown of each cell."""

    first: int
    end: int
    k: int
    followed: tuple[int | None, ...]


@dataclass(frozen=True)
class _Kept:
    """The cells of a clean run at some positions, kept for the next toggle."""

    cells: Cells

    @property
    def nbytes(self) -> int:
        return sum(value.nbytes for value in self.cells.values())


def _lens(
    model: Model, e: Experiment, k: int, stream: str, at: str, last: int | None
) -> Steps[Lens]:
    if not model.reaches("ln_final", model.shape.n_layers):
        raise EngineError(
            f"{model.checkpoint.architecture} normalizes inside its blocks and not after them, so "
            "its layers cannot be read through the unembedding: a lens would show numbers that "
            "mean nothing."
        )
    answers = answers_of(model, e)
    ids = answers.prompt.ids + answers.after(at)
    first = 0 if last is None else max(0, len(ids) - last)
    prepared = yield from prepare(model, e, answers.prompt)
    clean, ablated = _streams(model, ids, prepared.edits(len(ids)), stream)
    layers = _layers(model, stream)
    followed = _followed(answers, at)
    parts: list[tuple[Cells, Cells]] = []
    columns = max(1, _BYTES // (4 * model.shape.d_vocab * model.shape.n_layers))
    scratch = Scratch()
    for start in range(first, len(ids), columns):
        wanted = _Wanted(start, min(start + columns, len(ids)), k, followed)
        parts.append(_read(model, clean, ablated, wanted, (ids, stream, wanted), scratch))
        yield (wanted.end - first) / (len(ids) - first)
    runs = [_run(model, [part[r] for part in parts], followed, layers, ids) for r in range(2)]
    shown = {int(i) for run in runs for i in run.ids.ravel()}
    pieces = model.tokenizer.pieces(ids)
    return Lens(
        tokens=answers.prompt,
        read=ids,
        pieces=pieces,
        shown=tuple(map(token_text, model.tokenizer.texts(ids), pieces)),
        first=first,
        stream=stream,
        clean=runs[0],
        ablated=runs[1],
        texts=dict(zip(shown, model.tokenizer.each_text(tuple(shown), ids), strict=True)),
        names=dict(zip(shown, model.tokenizer.pieces(tuple(shown)), strict=True)),
        notes=(*answers.notes, *_left_out(model, stream, layers)),
        layers=layers,
    )


def _layers(model: Model, stream: str) -> tuple[int, ...]:
    """The layers that have what is read. Raises: EngineError where none has."""
    layers = tuple(i for i in range(model.shape.n_layers) if model.reaches(stream, i))
    if not layers:
        raise EngineError(model.why_not(stream, 0))
    return layers


def _left_out(model: Model, stream: str, layers: tuple[int, ...]) -> tuple[str, ...]:
    without = [str(i) for i in range(model.shape.n_layers) if i not in layers]
    if not without:
        return ()
    many = len(without) > 1
    return (
        f"Layer{'s' if many else ''} {', '.join(without)} {'have' if many else 'has'} no {stream} "
        f"that can be read, and {'are' if many else 'is'} left out.",
    )


def _streams(
    model: Model, ids: tuple[int, ...], edits: tuple[Edit, ...], stream: str
) -> tuple[_Stream, _Stream]:
    """The clean and the ablated run, the same tensors up to the first edit."""
    n_layers = model.shape.n_layers
    names = ("resid_post",) if stream == "resid_post" else _PARTS
    if stream == "resid_post":
        left = forward.clean_stream(model, ids)[1:]
        clean = {("resid_post", i): vectors for i, vectors in enumerate(left)}
    else:
        every = _there(model, names, range(n_layers))
        clean = forward.run(model, [forward.Row(ids, captures=every)])[0].captured
    ablated = clean
    if edits:
        changed = range(min(edit.layer for edit in edits), n_layers)
        captures = _there(model, names, changed)
        ablated = clean | forward.run(model, [forward.Row(ids, edits, (), captures)])[0].captured
    if stream != "resid_post":
        _check_parts(model, clean, stream)
        _check_parts(model, ablated, stream)
    layers = _layers(model, stream)
    one, other = (
        _Stream([run[(stream, i)] for i in layers], run[("resid_post", n_layers - 1)])
        for run in (clean, ablated)
    )
    return one, other


def _there(model: Model, names: Iterable[str], layers: Iterable[int]) -> frozenset[forward.Capture]:
    """What of these can be seen in these layers; where a layer lacks heads or an MLP, the stream
    between the two as well."""
    result: set[forward.Capture] = set()
    for i in layers:
        here = {name for name in names if model.reaches(name, i)}
        if len(here) < len(tuple(names)) and model.reaches("resid_mid", i):
            here.add("resid_mid")
        result |= {(name, i) for name in here}
    return frozenset(result)


def _check_parts(model: Model, captured: dict[forward.Capture, Tensor], stream: str) -> None:
    """Refuse to read a part that is not what the block adds to the residual stream: in a layer
    that has but one of the two, to the stream between them."""
    for i in _layers(model, stream):
        result = {n: captured[n, i].float() for n in (*_PARTS, "resid_mid") if (n, i) in captured}
        added = torch.stack([result[n] for n in ("attn_out", "mlp_out") if n in result]).sum(0)
        before, after = result["resid_pre"], result["resid_post"]
        if "resid_mid" in result and "attn_out" not in result:
            before = result["resid_mid"]
        elif "resid_mid" in result and "mlp_out" not in result:
            after = result["resid_mid"]
        off = float((after - before - added).norm())
        if off > 1e-2 * float(added.norm()):
            raise EngineError(
                f"In {model.checkpoint.architecture}, {stream} is not what a layer adds to the "
                "residual stream (it is scaled or normalized on the way), so it is not read alone. "
                "Choose resid_post."
            )


def _followed(answers: Answers, at: str) -> tuple[int | None, int | None]:
    """The token of the answer, and of the distractor, that would come next."""
    after = answers.after(at)
    n = len(after)
    answer, distractor = (
        ids[n] if len(ids) > n and ids[:n] == after else None
        for ids in (answers.answer, answers.distractor)
    )
    return answer, distractor


def _read(
    model: Model,
    clean: _Stream,
    ablated: _Stream,
    wanted: _Wanted,
    key: Hashable,
    scratch: Scratch,
) -> tuple[Cells, Cells]:
    """The cells of both runs at some positions.

    Layers that both share are unembedded once. Of a clean run that is kept under `key`, only those
    that the ablated one shares: how far they are from the ablated output is new.
    """
    kept = model.lenses.get(key)
    if kept is not None and clean.end is ablated.end:
        return kept.cells, kept.cells
    known = 0
    if kept is not None:
        known = sum(a is b for a, b in zip(clean.layers, ablated.layers, strict=True))
    streams = [clean, ablated] if kept is None else [ablated]
    each = {id(vectors): vectors for run in streams for vectors in (*run.layers, run.end)}
    place = {key: i for i, key in enumerate(each)}
    runs = [Rows([place[id(v)] for v in run.layers], place[id(run.end)], known) for run in streams]
    some = torch.cat([vectors[wanted.first : wanted.end] for vectors in each.values()])
    logits = forward.unembed(model, some, scratch.logits(len(some), model.shape.d_vocab, some))
    result = cells(logits.unflatten(0, (len(each), -1)), runs, wanted.k, wanted.followed, scratch)
    if kept is None:
        model.lenses.keep(key, _Kept(result[0]))
        return result[0], result[1]
    shared = {n: value[:known] for n, value in kept.cells.items() if n != "divergence"}
    joined = {n: torch.cat([value, result[0][n]]) for n, value in shared.items()}
    return kept.cells, {**result[0], **joined}


def _run(
    model: Model,
    parts: list[Cells],
    followed: tuple[int | None, ...],
    layers: tuple[int, ...],
    ids: tuple[int, ...],
) -> LensRun:
    """The cells of one run of these ids, part by part, as one result."""
    of = {n: torch.cat([part[n] for part in parts], dim=1).cpu().numpy() for n in parts[0]}
    answer, distractor = (
        None
        if token is None
        else Trace(
            model.tokenizer.pieces((token,))[0],
            model.tokenizer.each_text((token,), ids)[0],
            *(of.pop(f"{name} {t}") for name in ("logits", "log_probs", "ranks")),
        )
        for t, token in enumerate(followed)
    )
    at_last = () if answer is None else zip(layers, answer.ranks[:, -1], strict=True)
    leads = [layer for layer, rank in at_last if rank == 1]
    return LensRun(
        **of, answer=answer, distractor=distractor, leads_from=leads[0] if leads else None
    )
