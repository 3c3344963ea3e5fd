"""What comes next, clean and ablated: the ranking, and how answer and distractor fare."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import forward
from .ablation import edits_of, has_values_past_the_prompt, prepared, reference_texts
from .errors import ExperimentError
from .experiment import Experiment
from .hooks import ablated_sites
from .model import Model
from .registry import load
from .results import Candidate, NextToken, Ranking, Score, Tokens
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


@dataclass(frozen=True)
class _Question:
    """What has to be run: the texts, and which of their logits are read for what."""

    prompt: Tokens
    answer: tuple[int, ...]
    distractor: tuple[int, ...]
    decided: int
    """Tokens of answer (or distractor) before the one that is compared."""

    @property
    def texts(self) -> list[tuple[int, ...]]:
        base = self.prompt.ids
        texts = {base + c[:-1]: None for c in (self.answer, self.distractor) if c}
        longest = list(texts) or [base]
        return [t for t in longest if not any(o != t and o[: len(t)] == t for o in longest)]

    def text_of(self, continuation: tuple[int, ...]) -> int:
        """Which text contains the prompt followed by these tokens."""
        ids = self.prompt.ids + continuation
        return next(i for i, text in enumerate(self.texts) if text[: len(ids)] == ids)


def _next_token(model: Model, e: Experiment, k: int | None, at: str) -> NextToken:
    prompt = model.tokenizer.encode(e.prompt, e.prepend_bos)
    forward.check_ids(model, prompt.ids)
    notes: list[str] = []
    answer, answer_moves = _in_place(model, prompt, e.answer, "answer", notes)
    distractor, distractor_moves = _in_place(model, prompt, e.distractor, "distractor", notes)
    decided = _decided(model, answer, distractor)
    question = _Question(prompt, answer, distractor, decided)
    start = len(prompt) - 1
    edits = [edits_of(model, e, prompt, len(text)) for text in question.texts]
    rows = [
        forward.Row(text, own, tuple(range(start, len(text))))
        for each in ([()] * len(edits), edits)
        for text, own in zip(question.texts, each, strict=True)
    ]
    results = forward.run(model, rows)
    n = len(question.texts)
    logits = [[r.logits for r in results[:n]], [r.logits for r in results[n:]]]

    after = (answer or distractor)[:decided] if at == "answer" else ()
    clean, ablated = (part[question.text_of(after)][len(after)] for part in logits)
    place = len(after)
    marked = [ids[place] for ids in (answer, distractor) if ids[:place] == after and ids[place:]]
    rankings = _rankings(model, clean, ablated, k, list(dict.fromkeys(marked)))
    both = [
        _candidate(model, question, text, ids, moves, logits)
        for text, ids, moves in (
            (e.answer, answer, answer_moves),
            (e.distractor, distractor, distractor_moves),
        )
    ]
    diffs = _logit_diffs(both, decided)
    notes += _notes(model, e, prompt, answer, distractor, decided)
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
        notes=tuple(notes),
        ablated_sites=len(ablated_sites(e.ablations, model.shape)) if any(edits) else 0,
    )


def _in_place(
    model: Model, prompt: Tokens, text: str, what: str, notes: list[str]
) -> tuple[tuple[int, ...], bool]:
    if not text:
        return (), False
    ids, moves = model.tokenizer.in_place(prompt, text)
    if not ids or model.tokenizer.decode(ids).strip() != text.strip():
        notes.append(
            f"The {what} “{text[:40]}” is not scored: this tokenizer cannot write it (its tokens "
            f"read “{model.tokenizer.decode(ids)[:40]}”)."
        )
        return (), False
    if moves:
        notes.append(
            f"Writing “{text[:40]}” right after this prompt would change the prompt's own last "
            f"tokens, so the model has never seen the two joined like this. The {what} is scored "
            "as tokens of its own; a prompt without its last space usually mends it."
        )
    forward.check_ids(model, prompt.ids + ids[:-1], f"prompt with its {what}")
    forward.check_ids(model, ids[-1:])
    return ids, moves


def _decided(model: Model, answer: tuple[int, ...], distractor: tuple[int, ...]) -> int:
    if answer and distractor:
        shared = next(
            (i for i, (a, d) in enumerate(zip(answer, distractor, strict=False)) if a != d), None
        )
        return 0 if shared is None else shared
    texts = model.tokenizer.texts(answer or distractor)
    return next((i for i, text in enumerate(texts) if text.strip()), 0)


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
    question: _Question,
    text: str,
    ids: tuple[int, ...],
    retokenizes: bool,
    logits: list[list[Tensor]],
) -> Candidate | None:
    if not ids:
        return None
    scores = []
    for part in logits:
        rows = part[question.text_of(ids[:-1])][: len(ids)]
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


def _notes(
    model: Model,
    e: Experiment,
    prompt: Tokens,
    answer: tuple[int, ...],
    distractor: tuple[int, ...],
    decided: int,
) -> list[str]:
    told = []
    if answer and answer == distractor:
        told.append("Answer and distractor are the same tokens: there is nothing to compare.")
    elif answer and distractor and answer[decided] == distractor[decided]:
        told.append(
            "One of answer and distractor begins with the whole of the other, so no single token "
            "tells them apart: compare their joint probabilities."
        )
    elif answer and distractor and decided:
        shared = " ".join(model.tokenizer.pieces(answer[:decided]))
        told.append(
            f"Answer and distractor both begin with {shared}: they are compared at the next token."
        )
    longer = max(len(answer), len(distractor)) > 1
    if e.ablations and e.positions.which == "generated" and not longer:
        told.append("Positions are “generated”: nothing in the prompt itself is changed.")
    elif e.ablations and longer and not has_values_past_the_prompt(e.method.kind):
        told.append(
            f"{e.method} has values for the prompt's tokens only; those after it are left as they "
            "are."
        )
    texts = reference_texts(model, e, prompt) if e.ablations else ()
    if texts:
        told.append(
            f"{e.method} over {len(texts)} reference prompt{'s' if len(texts) > 1 else ''}, "
            f"{sum(map(len, texts))} tokens in all."
        )
    return told
