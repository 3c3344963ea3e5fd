"""What is asked of gradients between two runs: pairs read, scored by one metric, in groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ..errors import ExperimentError
from ..experiment.experiment import Experiment, check_experiment
from ..experiment.method import Kind, Method
from ..experiment.numbers import whole_number
from ..experiment.question import Question
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes.blockwise import alike
from ..scoring.corrupted import check_alike, check_corrupted, exchanged
from ..scoring.prompts import Prompt, read_prompts
from ..scoring.scorer import Target, target_of
from ..tasks.pairs import Pair, as_pairs, experiments
from ..tasks.scores import late_notes

T = TypeVar("T")
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


@dataclass(frozen=True)
class GradientQuestion(Question[T, T]):
    """What is scored by gradients between the clean and the corrupted run.

    `pairs`: clean and corrupted prompts (None: the experiment's own). `steps`: runs in which
    gradients are taken; 1 is plain attribution patching. What is scored becomes what it is in the
    corrupted run at the experiment's positions.
    Raises: EngineError for a field that cannot be used, and for an experiment that changes
    something: both runs are as the model has them.
    """

    n_plain = 2
    e: Experiment
    pairs: tuple[Pair, ...] | None = None
    steps: int = 5

    def __post_init__(self) -> None:
        check_experiment(self.e)
        if self.pairs is not None:
            object.__setattr__(self, "pairs", as_pairs(self.pairs))
        object.__setattr__(self, "steps", steps_of(self.steps))
        if self.e.every_change:
            raise ExperimentError(
                "Gradients are taken between the clean and the corrupted run as the model has "
                f"them, and this experiment changes something ({self.e.every_change[0]}): take its "
                "`.clean`."
            )
        if self.e.positions.which == "generated":
            raise ExperimentError(
                "Positions are “generated”, and nodes become what they are in the corrupted prompt "
                "at the prompt's own: choose all, prompt, or some of them."
            )

    @property
    def model_name(self) -> str:
        return self.e.model

    def answered(self, model: Model) -> Answer[T, T]:
        """Snapshots, each over the prompts that are done by then; the last is over all."""
        model.check_way("block by block", "attribution by gradients")
        return Answer(lambda put: self.scored(model, put))

    def scored(self, model: Model, put: Callable[[T], None]) -> Steps[T]:
        """The scores, step by step; each snapshot is handed to `put`."""
        raise NotImplementedError


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
