"""What a head writes on a prompt, in tokens, and where it looks: clean, and with changes made.

With h what the head writes into the stream at the last position (its z · W_O, a norm behind that
held at the scale it has in that run), and the final norm held at the scale it has there too,

    logits = f · W_U · γ ⊙ (h − mean) / size        less their mean over all tokens

as direct logit attribution has it (Elhage et al. 2021), of every token: the logit difference of two
of them is the head's direct number. Each run has scales of its own. The last position is that of
the prompt, or, where answer and distractor begin alike, the one at which they part. A cap on the
logits is left out. What it does not show: what later parts make of what it writes, which may be all
that matters of it; nor, of a run in which the head writes something else, why.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..attribution.readout import readout
from ..attribution.runs import there
from ..attribution.written import check_added, head_vector
from ..errors import EngineError
from ..experiment.experiment import Experiment, check_experiment
from ..experiment.numbers import whole_number
from ..experiment.sites import Head, resolve_sites
from ..model.model import Model
from ..model.worker import Steps
from ..neurons.tokens import logits_of
from ..passes import forward
from ..passes.overflow import check_numbers
from ..passes.prepare import prepare
from ..registry import model_of
from ..scoring.answers import answers_of
from ..scoring.scores import is_decided
from .head_results import HeadRun, HeadWrites
from .looks import one_head

MOST_SHOWN = 100


def head_writes(e: Experiment, head: Any, k: int = 10, view: str | None = None) -> HeadWrites:
    """The k tokens that a head's output raises most and least on the prompt, and where it looks,
    clean and with the experiment's changes made.

    `head`: a Head, or as text, "9.1". Returns: HeadWrites, in logits.
    Raises: EngineError in words, as for a family in which heads do not add to the stream.
    """
    check_experiment(e)
    one, k = one_head(head), whole_number(k, "How many tokens of each kind are shown")
    if not 1 <= k <= MOST_SHOWN:
        raise EngineError(f"1 to {MOST_SHOWN:,} tokens of each kind are shown, not {k:,}.")
    model = model_of(e)
    resolve_sites((one,), model.shape)
    return model.worker.submit(_steps(model, e, one, k), view=view).result()


def _steps(model: Model, e: Experiment, head: Head, k: int) -> Steps[HeadWrites]:
    answers = answers_of(model, e)
    shared = answers.after("answer") if is_decided(answers) else ()
    ids = answers.prompt.ids + shared
    forward.check_ids(model, ids)
    edits = (yield from prepare(model, e, answers.prompt)).edits(len(ids))
    end, layer = ("resid_post", model.shape.n_layers - 1), head.layer
    own = {(n, layer) for n in ("z", "attn_out", "pattern") if model.reaches(n, layer)}
    stream = there(model, "resid_pre", "attn_out", "resid_mid", "mlp_out") | {end}
    last = (len(ids) - 1,)
    rows = [
        forward.Row(ids, some, last, frozenset({end, *own} | (set() if some else stream)), True)
        for some in dict.fromkeys([(), edits])
    ]
    results = forward.run(model, rows)
    check_added(model, results[0].captured)
    yield 0.3
    runs, vectors = [], []
    for result in results:
        vectors.append(head_vector(model, head, result.captured))
        runs.append((yield from _logits(model, result, vectors[-1])))
    order = [np.argsort(-one, kind="stable") for one in runs]
    shown = {int(i) for one in order for i in (*one[:k], *one[::-1][:k])}
    ids_shown = sorted(shown, key=lambda i: -runs[0][i])
    clean, *ablated = (
        _run(len(ids), head, result, vector, logits, each, ids_shown)
        for result, vector, logits, each in zip(results, vectors, runs, order, strict=True)
    )
    notes = () if ("pattern", layer) in own else (model.why_not("pattern", layer),)
    return HeadWrites(
        head=head,
        k=k,
        n_tokens=len(runs[0]),
        ids=tuple(ids_shown),
        tokens=tuple(model.tokenizer.texts((i,))[0] for i in ids_shown),
        pieces=tuple(model.tokenizer.pieces(ids)),
        texts=tuple(model.tokenizer.texts(ids)),
        clean=clean,
        ablated=ablated[0] if ablated else clean,
        cosine=_cosine(vectors[0], vectors[-1]),
        notes=notes,
    )


def _logits(model: Model, result: forward.RowResult, vector: Tensor) -> Steps[np.ndarray]:
    """What a vector of the stream adds to every token's logit in a run, less the mean."""
    stream, logits = result.captured["resid_post", model.shape.n_layers - 1], result.logits[0]
    check_numbers(model, vector, "look at")
    read = readout(model, stream, logits, (int(logits.argmax()), int(logits.argmin())))
    behind = read.factor * (read.norm(vector) - read.norm.bias)
    return (yield from logits_of(model, behind))


def _run(
    n: int,
    head: Head,
    result: forward.RowResult,
    vector: Tensor,
    logits: np.ndarray,
    order: np.ndarray,
    shown: list[int],
) -> HeadRun:
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(1, len(order) + 1)
    pattern = result.captured.get(("pattern", head.layer))
    seen = np.full(n, np.nan) if pattern is None else pattern[head.head].float().cpu().numpy()
    return HeadRun(logits[shown], ranks[shown], float(vector.norm()), seen.astype(np.float64))


def _cosine(one: Tensor, other: Tensor) -> float:
    lengths = float(one.norm() * other.norm())
    return float(torch.clamp(one @ other / lengths, -1, 1)) if lengths > 0 else float("nan")
