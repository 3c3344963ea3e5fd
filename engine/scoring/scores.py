"""How an answer and a distractor fare in one run, from the logits after the prompt.

The texts of a question are run as rows whose logits are wanted from the prompt's last token on;
every function here takes those logits, one tensor [pos d_vocab] a text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..experiment.results import Score
from ..model.model import Model
from ..passes import forward, ordering
from ..passes.forward import Row
from ..passes.hooks import Edit
from .answers import Answers


def texts_of(answers: Answers) -> list[tuple[int, ...]]:
    """The texts to run: the prompt with each answer but its last token, none within another that
    is read alike; and where an answer grows past the length up to which it is, that far too."""
    base, regime = answers.prompt.ids, answers.regime
    texts: dict[tuple[int, ...], None] = {}
    for candidate in (answers.answer, answers.distractor):
        read = [base + candidate[:n] for n in range(len(candidate))]
        ends = [a for a, b in pairwise([*read, ()]) if not b or regime(len(a)) != regime(len(b))]
        texts |= dict.fromkeys(ends)
    longest = list(texts) or [base]
    return [t for t in longest if not any(o != t and _holds(answers, o, t) for o in longest)]


def text_with(answers: Answers, continuation: tuple[int, ...]) -> int:
    """Which text contains the prompt followed by these tokens, read as it is by itself."""
    ids = answers.prompt.ids + continuation
    return next(i for i, text in enumerate(texts_of(answers)) if _holds(answers, text, ids))


def _holds(answers: Answers, text: tuple[int, ...], ids: tuple[int, ...]) -> bool:
    alike = answers.regime(len(text)) == answers.regime(len(ids))
    return alike and text[: len(ids)] == ids


def rows_of(answers: Answers, edits: Sequence[tuple[Edit, ...]]) -> list[Row]:
    """A row for each text, with the edits of each, and the logits from the prompt's end on."""
    start = len(answers.prompt) - 1
    return [
        Row(text, own, tuple(range(start, len(text))))
        for text, own in zip(texts_of(answers), edits, strict=True)
    ]


def score(answers: Answers, ids: tuple[int, ...], logits: Sequence[Tensor]) -> Score:
    """How an answer of these ids fares, teacher-forced. `logits`: [pos d_vocab] of each text."""
    rows = torch.stack([logits[text_with(answers, ids[:n])][n] for n in range(len(ids))])
    log_probs = rows.log_softmax(-1)[range(len(ids)), list(ids)].double()
    at = min(answers.decided, len(ids) - 1)
    own = torch.tensor([[ids[at]]], device=rows.device)
    total = float(log_probs.sum())
    return Score(
        log_probs=log_probs.cpu().numpy(),
        log_prob=total,
        prob=float(np.exp(total)),
        logit=float(rows[at, ids[at]]),
        rank=int(ordering.ranks(rows[at : at + 1], own)),
    )


def is_decided(answers: Answers) -> bool:
    """Whether a single token tells answer and distractor apart."""
    answer, distractor, at = answers.answer, answers.distractor, answers.decided
    return min(len(answer), len(distractor)) > at and answer[at] != distractor[at]


def logit_diff(answers: Answers, answer: Score | None, distractor: Score | None) -> float | None:
    """logit(answer) − logit(distractor) where they first differ, positive is right; None where
    no single token tells them apart."""
    if answer is None or distractor is None or not is_decided(answers):
        return None
    return answer.logit - distractor.logit


@dataclass(frozen=True, eq=False)
class Line:
    """One run of one prompt: what is asked after it, and the edits of each of its texts."""

    answers: Answers
    edits: Sequence[tuple[Edit, ...]]


def scored(model: Model, lines: Sequence[Line]) -> Iterator[tuple[Score, float]]:
    """Run lines that have an answer, all in one pass: how each's answer fares, and its logit
    difference, NaN where no single token tells answer and distractor apart."""
    rows = [rows_of(line.answers, line.edits) for line in lines]
    results = iter(forward.run(model, [row for some in rows for row in some]))
    for line, some in zip(lines, rows, strict=True):
        logits = [next(results).logits for _ in some]
        answer, distractor = (
            score(line.answers, ids, logits) if ids else None
            for ids in (line.answers.answer, line.answers.distractor)
        )
        assert answer is not None
        diff = logit_diff(line.answers, answer, distractor)
        yield answer, np.nan if diff is None else diff
