"""What is asked of gradients between two runs: pairs read, scored by one metric, in groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import ExperimentError
from ..experiment.experiment import Experiment, check_experiment
from ..experiment.method import Kind, Method
from ..experiment.numbers import whole_number
from ..model.model import Model
from ..model.worker import Steps
from ..passes.blockwise import alike
from ..scoring.corrupted import check_alike, check_corrupted, exchanged
from ..scoring.prompts import Prompt, read_prompts
from ..scoring.scorer import Target, target_of
from ..tasks.pairs import Pair, as_pairs, experiments
from ..tasks.scores import late_notes

MOST_STEPS = 1_000
_RESAMPLE = Method(Kind.RESAMPLE)


@dataclass(frozen=True)
class Read:
    """Pairs ready to be run: each prompt, what is scored after its corrupted one, the metric."""

    prompts: list[Prompt]
    corrupted: list[Target]
    metric: str
    notes: tuple[str, ...]

    def groups(self, model: Model) -> Iterator[list[int]]:
        """The prompts, by index, in groups that share a pass: as many tokens, as many scored."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, prompt in enumerate(self.prompts):
            key = (len(prompt.target.places), *alike(model, prompt.target.ids))
            groups.setdefault(key, []).append(i)
        yield from groups.values()


def check_asked(question: Any) -> None:
    """Read the fields that both questions have. Raises: EngineError for one that cannot be used."""
    e: Experiment = question.e
    check_experiment(e)
    if question.pairs is not None:
        object.__setattr__(question, "pairs", as_pairs(question.pairs))
    object.__setattr__(question, "steps", steps_of(question.steps))
    if e.every_change:
        raise ExperimentError(
            "Gradients are taken between the clean and the corrupted run as the model has them, "
            f"and this experiment changes something ({e.every_change[0]}): take its `.clean`."
        )
    if e.positions.which == "generated":
        raise ExperimentError(
            "Positions are “generated”, and nodes become what they are in the corrupted prompt at "
            "the prompt's own: choose all, prompt, or some of them."
        )


def steps_of(given: Any) -> int:
    """How many steps there are. Raises: EngineError for what is none, or too many."""
    steps = whole_number(given, "How many steps there are")
    if not 1 <= steps <= MOST_STEPS:
        raise ExperimentError(f"There are 1 to {MOST_STEPS:,} steps, not {steps:,}.")
    return steps


def pairs_of(e: Experiment, pairs: tuple[Pair, ...] | None) -> tuple[Pair, ...]:
    """The pairs, or the experiment's own."""
    return pairs or (Pair(e.prompt, e.corrupted, e.answer, e.distractor),)


def read(
    model: Model,
    e: Experiment,
    pairs: tuple[Pair, ...] | None,
    what: str,
    late: bool = True,
) -> Steps[Read]:
    """Read every pair. `what` is asked, in words. `late`: whether nothing is changed at tokens that
    follow the prompt, which notes then say.

    Raises: EngineError for a pair whose two prompts cannot be compared, or without an answer.
    """
    each = experiments(replace(e, method=_RESAMPLE), pairs)
    check_corrupted(model, each, what)
    prompts = yield from read_prompts(model, each, "answer", False, set())
    corrupted = [target_of(model, exchanged(one), "answer") for one in each]
    for one, prompt, target in zip(each, prompts, corrupted, strict=True):
        check_alike(one, prompt.target, target)
    without = sum(p.target.distractor is None for p in prompts)
    notes = dict.fromkeys(note for p in prompts for note in p.target.notes)
    notes |= dict.fromkeys(late_notes(model, each, [_RESAMPLE]) if late else ())
    if 0 < without < len(prompts):
        notes[
            f"In {without} of {len(prompts)} pairs no token tells answer and distractor apart, so "
            "the scores are of the answer's log-probability in all."
        ] = None
    return Read(prompts, corrupted, "log_prob" if without else "logit_diff", tuple(notes))


def total_cost(block_cost: Sequence[float], prompts: Sequence[Prompt], steps: int) -> float:
    """Operations of both runs, and of all between with their gradients."""
    return sum(len(p.target.ids) for p in prompts) * (2 + 3 * steps) * sum(block_cost)
