"""The two runs of an experiment at the token where answer and distractor part."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import Undecided
from ..experiment.experiment import Experiment
from ..model.model import Model
from ..model.worker import Steps
from ..passes import forward
from ..passes.forward import Capture, Row
from ..passes.hooks import Edit
from ..passes.prepare import prepare
from ..scoring.answers import Answers, answers_of
from ..scoring.scores import is_decided
from .readout import Readout, readout
from .written import Vectors


@dataclass(frozen=True, eq=False)
class Ended:
    """One run read at its last token: what was seen there, and how its logit difference is read."""

    vectors: Vectors
    read: Readout


@dataclass(frozen=True, eq=False)
class Runs:
    """An experiment's runs on `ids`, the prompt and what answer and distractor share; the same one
    twice where nothing is changed. `edits`: what is changed in the ablated one."""

    ids: tuple[int, ...]
    clean: Ended
    ablated: Ended
    edits: tuple[Edit, ...]
    notes: tuple[str, ...]


def both_runs(
    model: Model,
    e: Experiment,
    names: Iterable[Capture],
    clean_names: Iterable[Capture] = (),
    at_end: bool = True,
) -> Steps[Runs]:
    """Run an experiment, clean and ablated, and see these places at the last position, or, not
    `at_end`, at every one; in the clean run some more.

    Raises: Undecided where no single token tells answer and distractor apart; EngineError in words.
    """
    answers = answers_of(model, e)
    if not is_decided(answers):
        raise Undecided(_undecided(answers))
    prepared = yield from prepare(model, e, answers.prompt)
    ids, last = answers.prompt.ids + answers.after("answer"), model.shape.n_layers - 1
    edits = prepared.edits(len(ids))
    both = frozenset({("resid_post", last), *names})
    each = [((), both | frozenset(clean_names)), *([(edits, both)] if edits else [])]
    rows = [Row(ids, own, (len(ids) - 1,), seen, at_end) for own, seen in each]
    clean, *ablated = (_ended(model, answers, row, at_end) for row in forward.run(model, rows))
    return Runs(ids, clean, ablated[0] if ablated else clean, edits, answers.notes)


def _ended(model: Model, answers: Answers, row: forward.RowResult, at_end: bool) -> Ended:
    at, stream = answers.decided, row.captured["resid_post", model.shape.n_layers - 1]
    tokens = (answers.answer[at], answers.distractor[at])
    end = stream if at_end else stream[-1]
    return Ended(row.captured, readout(model, end, row.logits[0], tokens))


def _undecided(answers: Answers) -> str:
    if answers.answer and answers.distractor:
        return answers.notes[0]
    unwritten = [note for note in answers.notes if "is not scored" in note]
    return " ".join(
        (*unwritten, "Attribution is of a logit difference: give an answer and a distractor.")
    )
