"""An answer's probability, rank and logit difference with 1 to n terms of its prompt shown.

At each length the prompt is the text up to the next term, so that each is the beginning of the
whole one; the answer is that next term, and the distractor the last one shown, as the families of
sequence continuation have it (a model that copies instead of going on is wrong). Shown whole, the
prompt is asked with its own answer and distractor. Every number is what `next_token` gives of that
prompt by itself: each is read alone, from its first token.

Where a prompt ends in what its answer and its distractor both begin with, as drawn pairs do, each
shorter one does so too, and a probability is then of what is left of the term. Corrupted prompts
are cut behind as many words; so are the references of a method that averages by position, while a
`mean` is over the whole ones at every length, the same value throughout. Positions count in each
prompt by itself: −1 is the last token of each, and a change at one past a shorter prompt's end is
not made there.

What it does not show: with one term shown there is no step that could go on, and the rest of a
curve need not be the sequence being understood, as later terms are others and may be likelier by
themselves. Compare with a family, or with the corrupted prompt.
"""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass

from ..asking import ask
from ..errors import EngineError, ExperimentError, NoSequence
from ..experiment.experiment import Experiment, check_experiment
from ..experiment.question import Question
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes.hooks import Edit
from ..passes.prepare import Prepared, prepare
from ..scoring.answers import Answers, answers_of
from ..scoring.scores import Line, scored, texts_of
from ..tasks.pairs import Pair, as_pairs, asked_of
from .arrays import LengthArrays, Place
from .cutting import Sequence, sequence_of
from .results import LengthScores
from .shown import experiments

_TOKENS_A_STEP = 1_024
"""Tokens run between two moments at which more urgent work may come in."""


@dataclass(frozen=True)
class ScoreLengths(Question[None, LengthScores]):
    """How an answer fares with 1 to n terms of its prompt shown, clean and ablated.

    `pairs`: the prompts (None: the experiment's own), of which the experiment then gives model,
    changes and references alone. A method that averages and is given no references takes the
    pairs' corrupted prompts. A pair without a sequence is left out and counted in a note.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "score_lengths"
    n_plain = 2
    e: Experiment
    pairs: tuple[Pair, ...] | None = None

    def __post_init__(self) -> None:
        check_experiment(self.e)
        if self.pairs is not None:
            object.__setattr__(self, "pairs", as_pairs(self.pairs))
            if not self.pairs:
                raise ExperimentError("There are no prompts to be cut; give at least one pair.")

    @property
    def model_name(self) -> str:
        return self.e.model

    def answered(self, model: Model) -> Answer[None, LengthScores]:
        """LengthScores; each number is that of `next_token` on the prompt as it is shown."""
        return Answer(lambda _: _steps(model, self.e, self.pairs))


def score_lengths(
    e: Experiment, pairs: Several[Pair] | None = None, view: str | None = None
) -> LengthScores:
    """Ask `ScoreLengths` and wait for the result.

    Raises: NoSequence where no prompt has a sequence; EngineError in words where a whole prompt
    cannot be scored or changed. What cannot be at a shorter length is NaN there, with a note.
    """
    return ask(ScoreLengths(e, None if pairs is None else as_pairs(pairs)), view)


def _steps(model: Model, e: Experiment, given: tuple[Pair, ...] | None) -> Steps[LengthScores]:
    pairs = given or (Pair(e.prompt, e.corrupted, e.answer, e.distractor),)
    sequences = yield from _sequences(model, e, pairs)
    each = yield from experiments(model, e, sequences)
    result = LengthArrays(e, sequences, each)
    lines: list[Line] = []
    places: list[Place] = []
    prepared: dict[object, Prepared] = {}
    held = 0
    for i, k in result.places:
        for run in result.runs:
            try:
                answers = _answers(model, each[i][k])
                texts = texts_of(answers)
                edits: list[tuple[Edit, ...]] = [()] * len(texts)
                if run == "ablated":
                    ready = yield from _prepared(model, each[i][k], answers, prepared)
                    edits = [ready.edits(len(text)) for text in texts]
            except EngineError as wrong:
                if k + 1 == len(each[i]):
                    at = pairs.index(sequences[i].pair)
                    raise _named(wrong, each[i][k], at, len(pairs)) from wrong
                result.refuse((run, i, k), wrong)
                continue
            lines.append(Line(answers, edits))
            places.append((run, i, k))
            held += sum(map(len, texts))
        if held >= _TOKENS_A_STEP:
            result.fill(places, lines, scored(model, lines))
            lines, places, held = [], [], 0
            yield (i + 0.5) / len(each)
    result.fill(places, lines, scored(model, lines))
    return result.whole(len(pairs))


def _sequences(model: Model, e: Experiment, pairs: tuple[Pair, ...]) -> Steps[list[Sequence]]:
    """Of the pairs that have one. Raises: EngineError for what cannot be asked, NoSequence where
    none has."""
    result: list[Sequence] = []
    none: list[NoSequence] = []
    for i, pair in enumerate(pairs):
        own = asked_of(e, pair)
        try:
            _answers(model, own)
            result.append(sequence_of(pair))
        except NoSequence as wrong:
            none.append(wrong)
        except EngineError as wrong:
            raise _named(wrong, own, i, len(pairs)) from wrong
        yield 0.0
    if not result:
        raise none[0]
    return result


def _answers(model: Model, e: Experiment) -> Answers:
    """Raises: EngineError where there is no answer to be scored."""
    if e.prompt and not e.answer:
        raise ExperimentError(
            f"The prompt “{e.prompt[:60]}” has no answer, and it is the answer that is scored; "
            "give one."
        )
    answers = answers_of(model, e)
    if not answers.answer:
        raise ExperimentError(" ".join(answers.notes))
    return answers


def _prepared(
    model: Model, e: Experiment, answers: Answers, known: dict[object, Prepared]
) -> Steps[Prepared]:
    """The changes ready for a prompt; prompts of one length share them, unless each has values of
    its own."""
    own = any(change.becomes.kind.takes == "corrupted" for change in e.every_change)
    key = (len(answers.prompt), e.references, e.corrupted if own else "")
    if key not in known:
        known[key] = yield from prepare(model, e, answers.prompt)
    return known[key]


def _named(wrong: EngineError, e: Experiment, i: int, n: int) -> EngineError:
    """Say of which prompt an error is, where there are several."""
    if n == 1:
        return wrong
    return type(wrong)(f"Pair {i + 1}, “{e.prompt[:60]}”: {wrong}")
