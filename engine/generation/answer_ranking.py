"""Whole answers ranked after a prompt, clean and ablated, however many tokens each has.

The score of an answer is its joint log-probability, log p(answer | prompt): the sum over its
tokens of log p(token | prompt, tokens before), teacher-forced in one pass. What it does not show:
a longer answer has more factors and so is seldom the likelier one, and an answer that begins
another takes in all of that one's probability.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from ..asking import ask
from ..errors import EngineError, TokenError
from ..experiment.experiment import Experiment, check_experiment
from ..experiment.question import Question
from ..experiment.results import Tokens
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import INTERACTIVE, Steps
from ..passes import forward
from ..passes.overflow import overflow
from ..passes.prepare import prepare
from .results import RankedAnswers
from .runs import AnswerScore, RankedAnswer

MOST_ANSWERS = 10_000
_ROWS = 16
"""Texts read in one step, so that others' work fits in between."""

Ids = tuple[int, ...]
_Scores = dict[tuple[Ids, int], float]
"""Log-probabilities of tokens behind what stands before them."""


@dataclass(frozen=True)
class RankAnswers(Question[None, RankedAnswers]):
    """Candidate answers ranked by their joint log-probability, clean and ablated.

    Each is written in place, right after the prompt, so a leading space belongs to it. One that
    cannot be scored (empty, not in the vocabulary, too long) says why in its place.
    Raises: TokenError for no answers, or more than 10,000.
    """

    asks = "rank_answers"
    n_plain = 2
    e: Experiment
    answers: tuple[str, ...]

    def __post_init__(self) -> None:
        check_experiment(self.e)
        if isinstance(self.answers, str):
            raise TokenError("`answers` is a list of answers, not one text.")
        object.__setattr__(self, "answers", tuple(self.answers))
        if len(self.answers) > MOST_ANSWERS:
            raise TokenError(f"{len(self.answers):,} answers are given; at most {MOST_ANSWERS:,}.")
        if not self.answers:
            raise TokenError("There is no answer to rank; give at least one.")

    @property
    def model_name(self) -> str:
        return self.e.model

    def answered(self, model: Model) -> Answer[None, RankedAnswers]:
        """RankedAnswers, best first."""
        return Answer(lambda _: _steps(model, self.e, self.answers), priority=INTERACTIVE)


def rank_answers(e: Experiment, answers: Sequence[str], view: str | None = None) -> RankedAnswers:
    """Ask `RankAnswers` and wait for the result. Raises: EngineError for the experiment itself."""
    return ask(RankAnswers(e, answers), view)  # type: ignore[arg-type]


@dataclass
class _Candidate:
    text: str
    ids: Ids = ()
    retokenizes: bool = False
    error: str = ""


def _steps(model: Model, e: Experiment, answers: Sequence[str]) -> Steps[RankedAnswers]:
    prompt = model.tokenizer.encode(e.prompt, e.prepend_bos)
    forward.check_ids(model, prompt.ids)
    prepared = yield from prepare(model, e, prompt)
    candidates = [_candidate(model, prompt, text) for text in dict.fromkeys(answers)]
    wanted: dict[Ids, set[int]] = {}
    for one in candidates:
        for n, token in enumerate(() if one.error else one.ids):
            wanted.setdefault(one.ids[:n], set()).add(token)
    scores: tuple[_Scores, _Scores] = ({}, {})
    texts = sorted(_texts(wanted, _regime(model, prompt)), key=len)
    for start in range(0, len(texts), _ROWS):
        part = texts[start : start + _ROWS]
        edits = [prepared.edits(len(prompt) + len(text)) for text in part]
        _score(model, prompt, part, [()] * len(part), wanted, scores[0])
        _score(model, prompt, part, edits, wanted, scores[1])
        yield (start + len(part)) / len(texts)
    return _ranked(model, prompt, candidates, scores)


def _candidate(model: Model, prompt: Tokens, text: str) -> _Candidate:
    """An answer with the ids it gets in place, or with what is wrong with it."""
    if not text:
        return _Candidate(text, error="The answer is empty; type something.")
    try:
        ids, retokenizes = model.tokenizer.in_place(prompt, text)
        if not model.tokenizer.writes(prompt, ids, text):
            raise TokenError(
                f"This tokenizer cannot write “{text[:40]}”: its tokens read "
                f"“{model.tokenizer.decode(ids)[:40]}”."
            )
        forward.check_ids(model, prompt.ids + ids[:-1], "prompt with this answer")
        forward.check_ids(model, ids[-1:])
    except EngineError as wrong:
        return _Candidate(text, error=str(wrong))
    return _Candidate(text, ids, retokenizes)


def _regime(model: Model, prompt: Tokens) -> Callable[[int], Hashable]:
    """The same for numbers of tokens after the prompt at which a text is read alike."""
    return lambda n: model.rotaries.regime(len(prompt) + n)


def _texts(before: Collection[Ids], regime: Callable[[int], Hashable]) -> set[Ids]:
    """What must be read after the prompt: what stands before tokens that are scored, none that
    begins another and is read alike, so that answers of one token need one text together."""
    begun = {t[:n] for t in before for n in range(len(t)) if regime(n) == regime(len(t))}
    return set(before) - begun


def _score(
    model: Model,
    prompt: Tokens,
    texts: list[Ids],
    edits: Sequence[tuple],
    wanted: dict[Ids, set[int]],
    scores: _Scores,
) -> None:
    """Score every token asked for behind what these texts hold."""
    first, regime = len(prompt) - 1, _regime(model, prompt)
    rows = [
        forward.Row(prompt.ids + text, own, tuple(range(first, len(prompt) + len(text))))
        for text, own in zip(texts, edits, strict=True)
    ]
    for text, result in zip(texts, forward.run(model, rows), strict=True):
        log_probs = result.logits.log_softmax(-1)
        for n in range(len(text) + 1):
            here = [token for token in wanted.get(text[:n], ()) if (text[:n], token) not in scores]
            if not here or regime(n) != regime(len(text)):
                continue
            results = log_probs[n, here].cpu().double().numpy()
            if np.isnan(results).any():
                raise overflow(model, "generate from")
            scores.update(zip([(text[:n], token) for token in here], results, strict=True))


def _ranked(
    model: Model,
    prompt: Tokens,
    candidates: list[_Candidate],
    scores: tuple[_Scores, _Scores],
) -> RankedAnswers:
    scored = [c for c in candidates if not c.error]
    runs = [_run([_each(scores[run], c.ids) for c in scored]) for run in (0, 1)]
    answers = [
        RankedAnswer(c.text, c.ids, model.tokenizer.pieces(c.ids), c.retokenizes, a, b,
                     a.rank - b.rank)
        for c, a, b in zip(scored, *runs, strict=True)
    ]  # fmt: skip
    answers.sort(key=lambda one: one.clean.rank if one.clean else 0)
    answers += [
        RankedAnswer(c.text, (), (), False, None, None, 0, c.error) for c in candidates if c.error
    ]
    return RankedAnswers(prompt, tuple(answers), tuple(_notes(scored)))


def _each(scores: _Scores, ids: Ids) -> np.ndarray:
    """The log-probability of each token of an answer."""
    return np.array([scores[ids[:n], token] for n, token in enumerate(ids)])


def _run(log_probs: list[np.ndarray]) -> list[AnswerScore]:
    """The scores of one run's answers, ranked; equal ones in the order given."""
    totals = np.array([one.sum() for one in log_probs])
    ranks = np.empty(len(totals), dtype=int)
    ranks[np.argsort(-totals, kind="stable")] = np.arange(1, len(totals) + 1)
    shares = np.exp(totals - totals.max()) if len(totals) else totals
    return [
        AnswerScore(one, float(t), float(np.exp(t)), int(rank), float(share / shares.sum()))
        for one, t, rank, share in zip(log_probs, totals, ranks, shares, strict=True)
    ]


def _notes(scored: list[_Candidate]) -> list[str]:
    notes = []
    by_ids = {c.ids: c.text for c in reversed(scored)}
    inside = next(
        ((by_ids[c.ids[:n]], c.text) for c in scored for n in range(1, len(c.ids))
         if c.ids[:n] in by_ids),
        None,
    )  # fmt: skip
    if inside:
        notes.append(
            f"“{inside[0]}” begins “{inside[1]}”: its probability takes in that of every answer "
            "that goes on from it."
        )
    if len({len(c.ids) for c in scored}) > 1:
        notes.append(
            "The answers have different numbers of tokens: each token is a factor below 1, so "
            "compare those of one length, or look at the tokens one by one."
        )
    if any(c.retokenizes for c in scored):
        notes.append(
            "Writing some of these right after this prompt would change the prompt's own last "
            "tokens; they are scored as tokens of their own. A prompt without its last space "
            "usually mends it."
        )
    return notes
