"""What questions about features and an answer have in common: how they are asked and begun, of
whom, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

from ..errors import ExperimentError
from ..experiment.experiment import Experiment, check_experiment
from ..experiment.method import Kind, Method
from ..experiment.numbers import whole_number
from ..experiment.parsed import Parsed
from ..experiment.question import Question
from ..experiment.sae import Sae
from ..experiment.sites import Feature
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes.pace import Pace
from ..scoring.prompts import Prompt, read_prompts
from ..scoring.waves import batches
from ..tasks.pairs import Pair, as_pairs, experiments
from .curve_results import FeatureCurve
from .places import Fitted, fit
from .ranking_results import FeatureRanking
from .readings import Reading, positions_of, readings_cost, readings_of
from .shifted import runs_cost, shift_cost

R = TypeVar("R", FeatureRanking, FeatureCurve)


class AnswerQuestion(Question[R, R]):
    """What the features of an SAE do for the answer, told as it comes; `what` it is, in words."""

    what: ClassVar[str]
    e: Experiment
    sae: Parsed[Sae, Sae | str]
    pairs: tuple[Pair, ...] | None
    seed: int

    @property
    def options(self) -> tuple[object, ...]:
        """All that is asked besides, as the result keeps it."""
        raise NotImplementedError

    def steps(
        self,
        model: Model,
        each: Sequence[Experiment],
        so_far: R | None,
        put: Callable[[R], None],
    ) -> Steps[R]:
        """How it is answered, one experiment a pair, by one who knows `so_far` already."""
        raise NotImplementedError

    def read_fields(self) -> None:
        """Check and read what all have. Raises: EngineError for a field that cannot be used."""
        check_experiment(self.e)
        object.__setattr__(self, "sae", Sae.parse(self.sae))
        if self.pairs is not None:
            object.__setattr__(self, "pairs", as_pairs(self.pairs))
        object.__setattr__(self, "seed", whole_number(self.seed, "The seed"))
        if self.seed < 0:
            raise ExperimentError(f"The seed is 0 or more, not {self.seed}.")

    @property
    def model_name(self) -> str:
        return self.e.model

    def answered(self, model: Model) -> Answer[R, R]:
        """Snapshots, each with all that is known by then; the last has all there is."""
        return self._answer(model, None)

    def answered_after(self, model: Model, so_far: R) -> Answer[R, R]:
        """The same, without what is known so far; estimates too are taken from there. Raises:
        ExperimentError for what is known of another."""
        known = (so_far.experiment, so_far.sae, so_far.pairs, so_far.asked)
        if known != (self.e, self.sae, pairs_of(self.e, self.pairs), self.options):
            raise ExperimentError(f"What is known so far is of another {self.what}.")
        return self._answer(model, so_far)

    def _answer(self, model: Model, so_far: R | None) -> Answer[R, R]:
        model.check_way("block by block", self.what)
        model.check_way("along directions", self.what)
        each = each_asked(self.e, self.pairs)
        return Answer(lambda put: self.steps(model, each, so_far, put))


@dataclass(frozen=True, eq=False)
class Begun:
    """A question of features whose prompts are read, and nothing run yet.

    `held`: which prompts, by index, are held at once, in groups that share a pass. `fixed`: the
    operations of all that is run whatever is asked; `rowing`: of one row of every prompt.
    """

    pace: Pace
    fitted: Fitted
    prompts: Sequence[Prompt]
    metric: str
    notes: tuple[str, ...]
    held: tuple[list[list[int]], ...]
    fixed: float
    rowing: float

    @property
    def groups(self) -> list[list[int]]:
        """Prompts that share a pass."""
        return [group for some in self.held for group in some]

    def expect(self, rows: float) -> None:
        """So many rows are run of every prompt."""
        self.pace.total = self.fixed + rows * self.rowing

    def readings(self, model: Model, estimated: bool = True) -> Steps[list[Reading]]:
        """What the SAE reads of the prompts; without estimates, no gradient is taken."""
        return (
            yield from readings_of(
                model, self.pace, self.prompts, self.groups, self.fitted,
                self.metric if estimated else None,
            )
        )  # fmt: skip


def begun(model: Model, sae: Sae, e: Experiment, each: Sequence[Experiment]) -> Steps[Begun]:
    """Read the prompts of a question, and find the SAE's place. Raises: EngineError in words."""
    pace = Pace(model)
    yield 0.0
    fitted = fit(model, sae)
    prompts = yield from read_prompts(model, each, "answer", False, set())
    held = tuple(batches(model, prompts))
    fixed = readings_cost(pace, prompts, fitted)
    fixed += sum(runs_cost(pace, [prompts[i] for i in group]) for some in held for group in some)
    rowing = sum(shift_cost(pace, prompt, fitted.writes[1]) for prompt in prompts)
    return Begun(
        pace, fitted, prompts, metric_for(prompts), notes_on(e, prompts), held, fixed, rowing
    )


def pairs_of(e: Experiment, pairs: tuple[Pair, ...] | None) -> tuple[Pair, ...]:
    """The pairs asked of: the experiment's own prompt without any."""
    return pairs or (Pair(e.prompt, e.corrupted, e.answer, e.distractor),)


def each_asked(e: Experiment, pairs: tuple[Pair, ...] | None) -> tuple[Experiment, ...]:
    """One experiment a pair; a method that nothing is ablated by is left out, and so are the
    references it would take."""
    return experiments(e if e.ablations else replace(e, method=Method()), pairs)


def metric_for(prompts: Sequence[Prompt]) -> str:
    """The logit difference where every prompt has one, else the answer's log-probability."""
    return "log_prob" if any(p.target.distractor is None for p in prompts) else "logit_diff"


def notes_on(e: Experiment, prompts: Sequence[Prompt]) -> tuple[str, ...]:
    """What a reader must know of prompts whose features are changed."""
    notes = dict.fromkeys(note for prompt in prompts for note in prompt.target.notes)
    if not any(positions_of(prompt) for prompt in prompts):
        raise ExperimentError(
            f"Positions are “{e.positions}”: no feature is switched off in the prompts themselves, "
            "so none has an effect. Choose all, prompt or some of them."
        )
    without = sum(p.target.distractor is None for p in prompts)
    if 0 < without < len(prompts):
        notes[
            f"In {without} of {len(prompts)} pairs no token tells answer and distractor apart, so "
            "the effects are on the answer's log-probability in all."
        ] = None
    return tuple(notes)


def off_already(e: Experiment, sae: Sae) -> list[int]:
    """The features of an SAE that an experiment sets to 0 itself, at the same positions."""
    found = {
        site.index
        for change in e.every_change
        if change.becomes.kind is Kind.ZERO and change.positions == e.positions
        for site in change.sites.sites
        if isinstance(site, Feature) and site.layer == sae.layer
    }
    return sorted(found) if sae.is_among(e.saes) else []
