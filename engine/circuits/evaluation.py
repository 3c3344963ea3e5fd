"""Whether a circuit is one: faithful, complete, minimal, and beside random circuits of its size.

Faithfulness keeps only the circuit, completeness removes it, minimality removes one member more
(Wang et al. 2022, section 4), each by the mean logit difference over a task's pairs. What that does
not show: that the members work together as a circuit, or do the same on other tasks; and a high
share may be the average of pairs that are overdone and pairs that are lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..asking import ask
from ..errors import EngineError, ExperimentError
from ..experiment.ablations import Ablations
from ..experiment.experiment import Experiment
from ..experiment.numbers import whole_number
from ..experiment.parsed import Parsed, field
from ..experiment.question import Question
from ..experiment.sites import MLP, Site
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..tasks.pairs import AsPairs, Task, as_task, asked_of
from ..tasks.results import PairScores
from ..tasks.scores import late_notes, scores
from .circuit import Circuit
from .controls import Controls, number_of_controls, random_controls
from .references import choose_references
from .results import Evaluation


@dataclass(frozen=True)
class Evaluate(Question[None, Evaluation]):
    """A circuit kept, removed, each member removed, and the same done to random ones.

    `controls`: how many random circuits, without overlap with it, with as many heads in each layer
    if `layer_matched`. `minimality` False leaves the members out. `references`: the prompts that
    averages are over; by itself the circuit's own, else the task's corrupted prompts. `model`:
    another one of the circuit's shape.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "evaluate"
    n_plain = 2
    circuit: Circuit
    task: Parsed[Task, AsPairs] = field()
    controls: int = 20
    seed: int = 0
    layer_matched: bool = True
    minimality: bool = True
    references: tuple[str, ...] | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.circuit, Circuit):
            raise EngineError(f"A Circuit is put to the test, not {self.circuit!r:.60}.")
        object.__setattr__(self, "task", as_task(self.task, self.circuit.model))
        object.__setattr__(self, "controls", number_of_controls(self.controls))
        object.__setattr__(self, "seed", whole_number(self.seed, "The seed"))
        if self.model == self.circuit.model:
            object.__setattr__(self, "model", None)

    @property
    def model_name(self) -> str:
        return self.model or self.circuit.model

    def answered(self, model: Model) -> Answer[None, Evaluation]:
        """Evaluation, which names pairs and references; where controls cannot be drawn, or the
        circuit's own references do not fit the pairs, its notes say why."""
        _check_shape(self.circuit, model)
        return Answer(
            lambda _: evaluated(
                model,
                self.circuit,
                self.task,
                self.controls,
                self.seed,
                self.layer_matched,
                self.minimality,
                self.references,
            )
        )


def evaluate(
    circuit: Circuit,
    task: AsPairs,
    controls: int = 20,
    seed: int = 0,
    *,
    layer_matched: bool = True,
    minimality: bool = True,
    references: Task | Iterable[str] | None = None,
    model: str | None = None,
    view: str | None = None,
) -> Evaluation:
    """Ask `Evaluate` and wait for the result.

    As in `Evaluate`; `references` may also be a task, whose corrupted prompts are meant.
    Raises: EngineError for a model of another shape, or pairs that cannot be scored.
    """
    if isinstance(references, str):
        raise EngineError("`references` is a list of prompts, not one text.")
    given = references.references if isinstance(references, Task) else references
    over = None if given is None else tuple(given)
    return ask(
        Evaluate(circuit, task, controls, seed, layer_matched, minimality, over, model), view
    )


def evaluated(
    model: Model,
    circuit: Circuit,
    task: Task,
    controls: int,
    seed: int,
    layer_matched: bool | None,
    minimality: bool,
    references: tuple[str, ...] | None = None,
) -> Steps[Evaluation]:
    """`evaluate`, on the worker's thread. `layer_matched` None: where such controls can be drawn,
    else any."""
    over = choose_references(model, circuit, task, references)
    notes = [*task.notes, *over.notes]
    drawn, matched, same_mlps = _controls(circuit, model, controls, seed, layer_matched, notes)
    members = circuit.sites if minimality else ()
    e = Experiment(model.name, method=circuit.method, references=over.texts)

    def run(one: Circuit, removed: bool = False) -> Experiment:
        return replace(e, ablations=one.removed if removed else one.kept)

    without = [
        replace(circuit, sites=tuple(s for s in circuit.sites if s != member)) for member in members
    ]
    others = [replace(circuit, sites=sites) for sites in drawn]
    everything = Ablations((), "keep", mlps=not circuit.all_mlps)
    result = yield from scores(
        model,
        task,
        [
            e,
            run(circuit),
            run(circuit, removed=True),
            replace(e, ablations=everything),
            *map(run, without),
            *map(run, others),
            *(run(other, removed=True) for other in others),
        ],
    )
    _check_scores(task, result[0])
    notes.extend(late_notes(model, [asked_of(e, pair) for pair in task.pairs], [e.method]))
    diffs = np.array([one.logit_diff for one in result[4:]]).reshape(-1, len(task.pairs))
    means, stds = diffs.mean(1), diffs.std(1)
    a, b = len(members), len(members) + len(drawn)
    adds = (result[1].logit_diff - diffs[:a]) / result[0].logit_diff.mean()
    return Evaluation(
        circuit=circuit,
        task=task.name,
        model=model.name,
        clean=result[0],
        kept=result[1],
        removed=result[2],
        empty=result[3],
        members=members,
        without=means[:a],
        controls=Controls(
            drawn, means[a:b], means[b:], seed, matched, same_mlps, stds[a:b], stds[b:]
        )
        if drawn
        else None,
        notes=tuple(notes),
        adds_std=adds.std(1),
        pairs=task.pairs,
        references=over.texts,
        whose=over.whose,
    )


def _check_shape(circuit: Circuit, model: Model) -> None:
    s = model.shape
    if (s.n_layers, s.n_heads) != (circuit.n_layers, circuit.n_heads):
        raise EngineError(
            f"“{circuit.name[:60]}” is of a model of {circuit.n_layers} layers of "
            f"{circuit.n_heads} heads; {model.name} has {s.n_layers} of {s.n_heads}."
        )


def _controls(
    circuit: Circuit,
    model: Model,
    n: int,
    seed: int,
    layer_matched: bool | None,
    notes: list[str],
) -> tuple[tuple[tuple[Site, ...], ...], bool, bool]:
    """Random circuits of the same size, whether they are layer-matched, and whether they have the
    circuit's own MLPs."""
    if not n:
        return (), False, False
    mlps = tuple(site for site in circuit.sites if isinstance(site, MLP))
    there = len(model.shape.mlps)
    same = 2 * len(mlps) > there
    replaced: Sequence[Site] = circuit.heads if same else circuit.sites
    if same:
        notes.append(
            f"The circuit keeps {len(mlps)} of {there} MLPs, too many for others to be "
            "drawn without overlap: its controls have the same MLPs and other heads."
        )
    for matched in (True, False) if layer_matched is None else (layer_matched,):
        try:
            drawn = random_controls(replaced, model.shape, n, seed, matched)
            break
        except ExperimentError as wrong:
            sentence = f"No controls: {wrong}"
    else:
        notes.append(sentence)
        return (), False, False
    if len(drawn) < n:
        several = "s" if len(drawn) > 1 else ""
        notes.append(f"Only {len(drawn)} different control{several} can be drawn, not {n}.")
    return tuple((*one, *(mlps if same else ())) for one in drawn), matched, same


def _check_scores(task: Task, clean: PairScores) -> None:
    undecided = np.flatnonzero(np.isnan(clean.logit_diff))
    if len(undecided):
        raise EngineError(
            f"Pair {undecided[0] + 1} of “{task.name[:60]}” has no logit difference: it needs an "
            "answer and a distractor that a token tells apart."
        )
    mean = clean.mean_logit_diff
    if mean is None or mean <= 0:
        raise EngineError(
            f"The whole model does not do “{task.name[:60]}”: its mean logit difference is "
            f"{mean:.2f}. Leave out the pairs it gets wrong, or choose another task."
        )
