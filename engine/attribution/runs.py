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
from .written import Vectors, check_added


@dataclass(frozen=True, eq=False)
class Ended:
    """One run read at its last token: what was seen there, and how its logit difference is read."""

    vectors: Vectors
    read: Readout


@dataclass(frozen=True, eq=False)
class Runs:
    """An experiment's runs on `ids`, the prompt and what answer and distractor share; the same one
    twice where nothing is changed. `edits`: what is changed in the ablated one. `others`: the
    layers that add more to the stream than what heads and MLPs write."""

    ids: tuple[int, ...]
    clean: Ended
    ablated: Ended
    edits: tuple[Edit, ...]
    others: tuple[int, ...]
    notes: tuple[str, ...]


def there(model: Model, *names: str) -> frozenset[Capture]:
    """The places of these names that the model has, in all its layers."""
    layers = range(model.shape.n_layers)
    return frozenset((n, layer) for layer in layers for n in names if model.reaches(n, layer))


def both_runs(
    model: Model, e: Experiment, names: Iterable[Capture], at_end: bool = True
) -> Steps[Runs]:
    """Run an experiment, clean and ablated, and see these places at the last position, or, not
    `at_end`, at every one.

    Raises: Undecided where no single token tells answer and distractor apart; EngineError in words,
    also for a model in which what is written is not added to the residual stream.
    """
    answers = answers_of(model, e)
    if not is_decided(answers):
        raise Undecided(_undecided(answers))
    prepared = yield from prepare(model, e, answers.prompt)
    ids, end = (
        answers.prompt.ids + answers.after("answer"),
        ("resid_post", model.shape.n_layers - 1),
    )
    edits, seen = prepared.edits(len(ids)), frozenset({end, *names})
    stream = there(model, "resid_pre", "attn_out", "resid_mid", "mlp_out") | {end}
    last = (len(ids) - 1,)
    rows = [Row(ids, (), last, seen | stream if at_end else seen, at_end)]
    rows += [Row(ids, edits, last, seen, at_end)] if edits else []
    rows += [] if at_end else [Row(ids, (), (), stream, at_end=True)]
    results = forward.run(model, rows)
    others = check_added(model, results[0 if at_end else -1].captured)
    clean, *ablated = (_ended(model, answers, one, at_end) for one in results[: 1 + bool(edits)])
    notes = answers.notes
    return Runs(ids, clean, ablated[0] if ablated else clean, edits, others, notes)


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
