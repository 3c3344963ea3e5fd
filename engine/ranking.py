"""What comes next, clean and ablated: the ranking, and how answer and distractor fare."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from . import forward
from .ablation import edits_of, has_values_past_the_prompt, prepared, reference_texts
from .answers import Asked, asked
from .errors import ExperimentError
from .experiment import Experiment
from .hooks import ablated_sites
from .model import Model
from .registry import load
from .results import Candidate, NextToken, Ranking, Score
from .worker import Steps


def next_token(
    e: Experiment, k: int | None = None, at: str = "prompt", view: str | None = None
) -> NextToken:
    """Rank what comes next, with and without the experiment's ablations.

    `k` cuts the rankings (None ranks the whole vocabulary). `at` "prompt" ranks the token after
    the prompt; "answer" the one where answer and distractor differ, after the tokens they share
    (with an answer alone: its first token that is not only a space). `view` names whose question
    this is: a newer one from the same view replaces it.
    Returns: NextToken; its docstring gives units and signs.
    Raises: EngineError in words.
    """
    if at not in ("prompt", "answer"):
        raise ExperimentError(f"Ranking is done at the prompt or the answer, not at “{at}”.")
    if k is not None and k < 1:
        raise ExperimentError(f"A ranking of {k} tokens is empty; ask for at least 1.")
    model = load(e.model)
    return model.worker.submit(_steps(model, e, k, at), view=view).result()


def _steps(model: Model, e: Experiment, k: int | None, at: str) -> Steps[NextToken]:
    yield from prepared(model, e)
    return _next_token(model, e, k, at)


def _texts(asked: Asked) -> list[tuple[int, ...]]:
    """The texts to run: the prompt with each answer but its last token, none within another."""
    base = asked.prompt.ids
    texts = {base + c[:-1]: None for c in (asked.answer, asked.distractor) if c}
    longest = list(texts) or [base]
    return [t for t in longest if not any(o != t and o[: len(t)] == t for o in longest)]


def _text_of(asked: Asked, continuation: tuple[int, ...]) -> int:
    """Which text contains the prompt followed by these tokens."""
    ids = asked.prompt.ids + continuation
    return next(i for i, text in enumerate(_texts(asked)) if text[: len(ids)] == ids)


def _next_token(model: Model, e: Experiment, k: int | None, at: str) -> NextToken:
    question = asked(model, e)
    prompt, texts = question.prompt, _texts(question)
    start = len(prompt) - 1
    edits = [edits_of(model, e, prompt, len(text)) for text in texts]
    rows = [
        forward.Row(text, own, tuple(range(start, len(text))))
        for each in ([()] * len(edits), edits)
        for text, own in zip(texts, each, strict=True)
    ]
    results = forward.run(model, rows)
    n = len(texts)
    logits = [[r.logits for r in results[:n]], [r.logits for r in results[n:]]]

    after = question.after(at)
    place = len(after)
    clean, ablated = (part[_text_of(question, after)][place] for part in logits)
    marked = [
        ids[place]
        for ids in (question.answer, question.distractor)
        if ids[:place] == after and ids[place:]
    ]
    rankings = _rankings(model, clean, ablated, k, list(dict.fromkeys(marked)))
    both = [
        _candidate(model, question, text, ids, moves, logits)
        for text, ids, moves in (
            (e.answer, question.answer, question.moves[0]),
            (e.distractor, question.distractor, question.moves[1]),
        )
    ]
    diffs = _logit_diffs(both, question.decided)
    log_p, log_q = clean.log_softmax(-1), ablated.log_softmax(-1)
    return NextToken(
        tokens=prompt,
        after=model.tokenizer.pieces(after),
        clean=rankings[0],
        ablated=rankings[1],
        clean_marked=rankings[2],
        ablated_marked=rankings[3],
        answer=both[0],
        distractor=both[1],
        clean_logit_diff=diffs[0],
        ablated_logit_diff=diffs[1],
        kl=max(0.0, float((log_p.exp() * (log_p - log_q)).sum())),
        notes=(*question.notes, *_ablation_notes(model, e, question)),
        ablated_sites=len(ablated_sites(e.ablations, model.shape)) if any(edits) else 0,
    )


def _rankings(
    model: Model, clean: Tensor, ablated: Tensor, k: int | None, marked: list[int]
) -> list[Ranking]:
    """The k best of both runs, then the lines of the marked ids in both."""
    orders = [_ranks(logits) for logits in (clean, ablated)]
    logits = (clean, ablated)
    log_probs = [one.log_softmax(-1) for one in logits]
    chosen = torch.tensor(marked, dtype=torch.long, device=clean.device)
    found = []
    for ids_of in (lambda best: best[:k], lambda _: chosen):
        for this, twin in ((0, 1), (1, 0)):
            best, ranks = orders[this]
            ids = ids_of(best)
            plain = ids.tolist()
            found.append(
                Ranking(
                    ids=ids.cpu().numpy(),
                    tokens=model.tokenizer.pieces(plain),
                    texts=model.tokenizer.texts(plain),
                    logits=logits[this][ids].cpu().numpy(),
                    log_probs=log_probs[this][ids].cpu().numpy(),
                    probs=log_probs[this][ids].exp().cpu().numpy(),
                    ranks=ranks[ids].cpu().numpy(),
                    moves=(orders[twin][1][ids] - ranks[ids]).cpu().numpy(),
                )
            )
    return found


def _ranks(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Ids best first, and the rank of every id (1 is best; equal logits by id)."""
    best = torch.sort(logits, descending=True, stable=True).indices
    ranks = torch.empty_like(best)
    ranks[best] = torch.arange(1, len(best) + 1, device=best.device)
    return best, ranks


def _candidate(
    model: Model,
    question: Asked,
    text: str,
    ids: tuple[int, ...],
    retokenizes: bool,
    logits: list[list[Tensor]],
) -> Candidate | None:
    if not ids:
        return None
    scores = []
    for part in logits:
        rows = part[_text_of(question, ids[:-1])][: len(ids)]
        log_probs = rows.log_softmax(-1)[range(len(ids)), list(ids)].double()
        at = min(question.decided, len(ids) - 1)
        logit = rows[at, ids[at]]
        higher = (rows[at] > logit) | ((rows[at] == logit) & _before(rows[at], ids[at]))
        total = float(log_probs.sum())
        scores.append(
            Score(
                log_probs=log_probs.cpu().numpy(),
                log_prob=total,
                prob=float(np.exp(total)),
                logit=float(logit),
                rank=int(higher.sum()) + 1,
            )
        )
    return Candidate(text, ids, model.tokenizer.pieces(ids), retokenizes, scores[0], scores[1])


def _before(logits: Tensor, index: int) -> Tensor:
    return torch.arange(len(logits), device=logits.device) < index


def _logit_diffs(both: list[Candidate | None], decided: int) -> tuple[float | None, float | None]:
    a, d = both
    if a is None or d is None or a.ids[decided : decided + 1] == d.ids[decided : decided + 1]:
        return None, None
    if decided >= min(len(a.ids), len(d.ids)):
        return None, None
    return a.clean.logit - d.clean.logit, a.ablated.logit - d.ablated.logit


def _ablation_notes(model: Model, e: Experiment, asked: Asked) -> list[str]:
    """What a reader must know of the method and of where it acts."""
    if not e.ablations:
        return []
    told = []
    longer = max(len(asked.answer), len(asked.distractor)) > 1
    if e.positions.which == "generated" and not longer:
        told.append("Positions are “generated”: nothing in the prompt itself is changed.")
    elif longer and not has_values_past_the_prompt(e.method.kind):
        told.append(
            f"{e.method} has values for the prompt's tokens only; those after it are left as they "
            "are."
        )
    texts = reference_texts(model, e, asked.prompt)
    if texts:
        told.append(
            f"{e.method} over {len(texts)} reference prompt{'s' if len(texts) > 1 else ''}, "
            f"{sum(map(len, texts))} tokens in all."
        )
    return told
