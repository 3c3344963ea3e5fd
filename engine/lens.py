"""Logit lens: what the model would say after each layer (nostalgebraist, 2020).

The model's own final norm and unembedding are applied to the residual stream after every layer
(`resid_post`), or to what a layer's attention or MLP adds to it alone. The last row of
`resid_post` is the model's output. What it does not show: a layer may know a thing in directions
that only later layers turn towards the vocabulary, so an unreadable row is no proof of ignorance;
and a part read alone is normalized by its own length, not by that of the stream it joins.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import forward
from .ablation import edits_of, prepared
from .answers import Asked, asked
from .errors import EngineError, ExperimentError
from .experiment import Experiment
from .model import Model
from .registry import load
from .results import Lens, LensRun, Trace
from .worker import Steps

STREAMS = ("resid_post", "attn_out", "mlp_out")
_PARTS = ("resid_pre", "resid_post", "attn_out", "mlp_out")


def logit_lens(
    e: Experiment,
    k: int = 5,
    stream: str = "resid_post",
    at: str = "prompt",
    view: str | None = None,
) -> Lens:
    """Read every layer through the unembedding, at every position, clean and ablated.

    `k`: how many tokens of each cell. `at` "answer" appends the tokens answer and distractor share
    to the prompt, so that its last position is where they are decided.
    Returns: Lens; its docstring gives axes, units and signs.
    Raises: EngineError in words, also for an architecture the lens does not fit.
    """
    if stream not in STREAMS:
        raise ExperimentError(f"The lens reads {', '.join(STREAMS)}, not “{stream[:40]}”.")
    if at not in ("prompt", "answer"):
        raise ExperimentError(f"The lens ends at the prompt or the answer, not at “{at[:40]}”.")
    model = load(e.model)
    if not 1 <= k <= model.shape.d_vocab:
        raise ExperimentError(f"A cell can show 1 to {model.shape.d_vocab:,} tokens, not {k}.")

    def steps() -> Steps[Lens]:
        yield from prepared(model, e)
        return (yield from _lens(model, e, k, stream, at))

    return model.worker.submit(steps(), view=view).result()


def _lens(model: Model, e: Experiment, k: int, stream: str, at: str) -> Steps[Lens]:
    n_layers = model.shape.n_layers
    if not model.reaches("ln_final", n_layers):
        raise EngineError(
            f"{model.checkpoint.architecture} normalizes inside its blocks and not after them, so "
            "its layers cannot be read through the unembedding: a lens would show numbers that "
            "mean nothing."
        )
    question = asked(model, e)
    ids = question.prompt.ids + question.after(at)
    names = ("resid_post",) if stream == "resid_post" else _PARTS
    captures = frozenset((name, i) for name in names for i in range(n_layers))
    edits = edits_of(model, e, question.prompt, len(ids))
    rows = [
        forward.Row(ids, own, tuple(range(len(ids))), captures)
        for own in dict.fromkeys(((), edits))
    ]
    results = forward.run(model, rows)
    for result in results if stream != "resid_post" else ():
        _check_parts(model, result.captured, stream)
    runs: list[LensRun] = []
    for result in results:
        layers = [result.captured[(stream, i)] for i in range(n_layers)]
        runs.append((yield from _read(model, layers, result.logits, k, question, at)))
    shown = {int(i) for run in runs for i in run.ids.ravel()}
    return Lens(
        tokens=question.prompt,
        read=ids,
        pieces=model.tokenizer.pieces(ids),
        stream=stream,
        clean=runs[0],
        ablated=runs[-1],
        texts=dict(zip(shown, model.tokenizer.texts(tuple(shown)), strict=True)),
        notes=question.notes,
    )


def _check_parts(model: Model, captured: dict[forward.Capture, Tensor], stream: str) -> None:
    """Refuse to read a part that is not what the block adds to the residual stream."""
    for i in range(model.shape.n_layers):
        before, after, attn, mlp = (
            captured[(n, i)].float() for n in ("resid_pre", "resid_post", "attn_out", "mlp_out")
        )
        off = float((after - before - attn - mlp).norm())
        if off > 1e-2 * float((attn + mlp).norm()):
            raise EngineError(
                f"In {model.checkpoint.architecture}, {stream} is not what a layer adds to the "
                "residual stream (it is scaled or normalized on the way), so it is not read alone. "
                "Choose resid_post."
            )


def _read(
    model: Model,
    layers: list[Tensor],
    output: Tensor,
    k: int,
    question: Asked,
    at: str,
) -> Steps[LensRun]:
    """Unembed the layers one by one and keep of each only what is shown."""
    place = len(question.after(at))
    followed = [
        ids[place] if len(ids) > place and ids[:place] == question.after(at) else None
        for ids in (question.answer, question.distractor)
    ]
    meant = output.log_softmax(-1)
    rows: list[dict[str, Tensor]] = []
    before: Tensor | None = None
    for i, layer in enumerate(layers):
        row, before = _row(forward.unembed(model, layer), meant, k, followed, before)
        rows.append(row)
        yield (i + 1) / len(layers)
    of = {name: torch.stack([row[name] for row in rows]).cpu().numpy() for name in rows[0]}
    traces = [
        None
        if token is None
        else Trace(
            model.tokenizer.pieces((token,))[0],
            of[f"logits {t}"],
            of[f"log_probs {t}"],
            of[f"ranks {t}"],
        )
        for t, token in enumerate(followed)
    ]
    answer = traces[0]
    leads = [] if answer is None else [i for i, r in enumerate(answer.ranks[:, -1]) if r == 1]
    return LensRun(
        ids=of["ids"],
        log_probs=of["best"],
        probs=of["probs"],
        moves=of["moves"],
        entropy=of["entropy"],
        divergence=of["divergence"],
        answer=answer,
        distractor=traces[1],
        leads_from=leads[0] if leads else None,
    )


def _row(
    logits: Tensor, meant: Tensor, k: int, followed: list[int | None], before: Tensor | None
) -> tuple[dict[str, Tensor], Tensor]:
    """What is shown of one layer's logits [pos d_vocab], and they, for the next row's moves."""
    log_probs = logits.log_softmax(-1)
    probs = log_probs.exp()
    best = _best(logits, k)
    here = torch.arange(1, k + 1, device=logits.device).expand_as(best)
    row = {
        "ids": best,
        "best": log_probs.gather(1, best),
        "probs": probs.gather(1, best),
        "moves": torch.zeros_like(best) if before is None else _ranks(before, best) - here,
        "entropy": -(probs * log_probs).nan_to_num().sum(-1),
        "divergence": (meant.exp() * (meant - log_probs)).nan_to_num().sum(-1).clamp(min=0),
    }
    for t, token in enumerate(followed):
        if token is not None:
            ids = torch.full_like(best[:, :1], token)
            row[f"logits {t}"] = logits[:, token]
            row[f"log_probs {t}"] = log_probs[:, token]
            row[f"ranks {t}"] = _ranks(logits, ids)[:, 0]
    return row, logits


def _best(logits: Tensor, k: int) -> Tensor:
    """The ids [pos k] of the k highest logits, best first; equal logits by id."""
    values, ids = logits.topk(k)
    order = torch.argsort(ids, dim=-1)
    values, ids = values.gather(1, order), ids.gather(1, order)
    return ids.gather(1, torch.argsort(values, dim=-1, descending=True, stable=True))


def _ranks(logits: Tensor, ids: Tensor) -> Tensor:
    """Ranks [pos n] of ids [pos n] among logits [pos d_vocab]; equal logits by id."""
    every = torch.arange(logits.shape[-1], device=logits.device)
    found = []
    for column in ids.T:
        own = logits.gather(1, column[:, None])
        higher = (logits > own).sum(-1)
        same = (logits == own).sum(-1) > 1
        if same.any():
            higher += ((logits == own) & (every < column[:, None])).sum(-1)
        found.append(higher + 1)
    return torch.stack(found, dim=1)
