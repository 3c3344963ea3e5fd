"""A ranking cut into circuits of every size, and how much of the answer each of them keeps.

Mueller et al. 2025, "MIB: A Mechanistic Interpretability Benchmark", the circuit localization
track. With m the mean logit difference over pairs, N the whole model, C the circuit of the first k
nodes or edges of a ranking, and ∅ the one in which nothing is kept, which is the corrupted run,

    f(k) = (m(C) − m(∅)) / (m(N) − m(∅)),

everything outside a circuit being as it is in the corrupted run. CPR is the area under f, CMD that
of |1 − f|, by trapezoids over the shares k / n of all nodes or edges, .1% to 100%. A node left out
is so for all that read it; of an edge, see `edge_runs`. What enters layer 0 is a node too, where
the ranking scores it, and else kept. MIB prunes circuits, which changes no number: an edge that
nothing leads to carries what the corrupted run does.

What it does not show: whether the circuit does as the model does for the model's reasons, as f is
of a mean, in which pairs overdone make up for pairs lost; and anything below the least size. Beside
it stand random rankings of the same members.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..asking import ask
from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.numbers import whole_number
from ..experiment.parsed import Parsed, field
from ..experiment.question import Question
from ..gradients.asked import read
from ..gradients.runs import Runs, both_runs, cut
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes.pace import Pace
from ..tasks.pairs import AsPairs, Task, as_task
from .checks import check_edges, check_ends, check_pairs
from .edge_runs import SEEN as SEEN_BY_EDGES
from .edge_runs import EdgeCircuits
from .plan import planned
from .ranked import ORDERS, Ranked
from .results import FaithfulnessCurve
from .runs import SEEN, Circuits, NodeCircuits, metrics_of, rows_of
from .wiring import Wiring, wiring_of

MOST_CONTROLS = 100
MOST_BYTES = 4 * 2**30
"""What is held of both runs of all pairs."""
_ROWS_BYTES = 256 * 2**20
"""What rows that are run together hold."""


@dataclass(frozen=True)
class FaithfulnessCurves(Question[FaithfulnessCurve, FaithfulnessCurve]):
    """How faithful the circuits of a ranking are, from .1 to 100% of its nodes or edges, and those
    of random rankings of the same.

    `task`: clean and corrupted pairs. `by`: "magnitude" or "signed", what comes first. `controls`:
    how many random rankings, drawn with `seed`. Of a circuit (scores 0 and 1) only its own size is
    asked.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "faithfulness_curve"
    n_plain = 2
    ranked: Ranked
    task: Parsed[Task, AsPairs] = field()
    by: str = "magnitude"
    controls: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.ranked, Ranked):
            raise ExperimentError(f"A Ranked is cut into circuits, not {self.ranked!r:.60}.")
        object.__setattr__(self, "task", as_task(self.task, self.ranked.model))
        if self.by not in ORDERS:
            raise ExperimentError(f"Scores are ordered by {', '.join(ORDERS)}, not “{self.by}”.")
        for name, what in (("controls", "How many controls"), ("seed", "The seed")):
            object.__setattr__(self, name, whole_number(getattr(self, name), what))
        if not 0 <= self.controls <= MOST_CONTROLS:
            raise ExperimentError(
                f"There are 0 to {MOST_CONTROLS} random rankings, not {self.controls:,}."
            )

    @property
    def model_name(self) -> str:
        return self.ranked.model

    def answered(self, model: Model) -> Answer[FaithfulnessCurve, FaithfulnessCurve]:
        """Snapshots, each with the sizes known by then, small ones first; the last has all."""
        return self._answer(model, None)

    def answered_after(
        self, model: Model, so_far: FaithfulnessCurve
    ) -> Answer[FaithfulnessCurve, FaithfulnessCurve]:
        """The same, without what is known of it so far. Raises: ExperimentError for what is known
        of another curve."""
        known = (so_far.ranked, so_far.pairs, so_far.by, so_far.n_controls, so_far.seed)
        if known != (self.ranked, self.task.pairs, self.by, self.controls, self.seed):
            raise ExperimentError("What is known so far is of another curve.")
        return self._answer(model, so_far)

    def _answer(
        self, model: Model, so_far: FaithfulnessCurve | None
    ) -> Answer[FaithfulnessCurve, FaithfulnessCurve]:
        model.check_way("block by block", "faithfulness")
        wiring = wiring_of(model, self.ranked.level)
        order = wiring.order(self.ranked, self.by)
        return Answer(lambda put: _steps(model, self, wiring, order, so_far, put))


def faithfulness_curve(
    ranked: Ranked,
    task: AsPairs,
    by: str = "magnitude",
    controls: int = 5,
    seed: int = 0,
    view: str | None = None,
) -> FaithfulnessCurve:
    """Ask `FaithfulnessCurves` and wait for the end. Raises: EngineError in words."""
    return ask(FaithfulnessCurves(ranked, task, by, controls, seed), view)


def _steps(
    model: Model,
    asked: FaithfulnessCurves,
    wiring: Wiring,
    order: Sequence[str],
    so_far: FaithfulnessCurve | None,
    put: Callable[[FaithfulnessCurve], None],
) -> Steps[FaithfulnessCurve]:
    pace = Pace(model)
    yield 0.0
    plan = yield from planned(wiring, asked.ranked, order, asked.controls, asked.seed)
    level = asked.ranked.level
    circuits: Circuits = (EdgeCircuits if level == "edges" else NodeCircuits)(model, wiring.graph)
    result = yield from read(
        model, Experiment(model.name), asked.task.pairs, "a faithfulness curve", late=False
    )
    check_pairs(model, result, level)
    pairs = result.prompts
    metric = np.full((2, len(pairs)), np.nan)
    known: dict[bytes, np.ndarray] = {}
    if so_far is not None:
        every = np.concatenate([so_far.circuits[None], so_far.controls])
        for keys, of_curve in zip(plan.keys, every, strict=True):
            for key, values in zip(keys, of_curve, strict=True):
                if np.isfinite(values).all():
                    known[key] = values

    def snapshot(progress: float) -> FaithfulnessCurve:
        nothing = np.full(len(pairs), np.nan)
        values = np.array([[known.get(key, nothing) for key in keys] for keys in plan.keys])
        return FaithfulnessCurve(
            ranked=asked.ranked,
            by=asked.by,
            pairs=asked.task.pairs,
            metric=result.metric,
            sizes=plan.sizes,
            n_members=plan.n_members,
            n_edges=plan.n_edges,
            clean=metric[0].copy(),
            corrupted=metric[1].copy(),
            circuits=values[0],
            controls=values[1:],
            seed=asked.seed,
            notes=(*asked.task.notes, *result.notes, *_notes(model, asked)),
            progress=progress,
            seconds=pace.seconds,
            seconds_left=0.0 if progress >= 1 else pace.seconds_left,
        )

    seen = SEEN_BY_EDGES if level == "edges" else SEEN
    per_pair = [len(p.target.ids) * sum(pace.block_cost) for p in pairs]
    left = [key for key in plan.every if key not in known]
    row_cost = [circuits.cost(len(p.target.ids)) for p in pairs]
    pace.total = 2 * sum(per_pair) + len(left) * sum(row_cost)
    held: list[tuple[list[int], Runs]] = []
    for group in result.groups(model):
        for some in cut(pace, group, len(pairs[group[0]].target.ids), 1):
            runs = yield from both_runs(
                model, pace, [pairs[i] for i in some], [result.corrupted[i] for i in some],
                result.metric, 1, seen,
            )  # fmt: skip
            metric[:, some] = runs.metric.double().cpu().numpy()
            held.append((list(some), runs))
    check_ends(metric)
    whole = wiring.is_edge
    known[np.packbits(whole).tobytes()] = metric[0]
    if level == "edges":
        known[np.packbits(np.zeros_like(whole)).tobytes()] = metric[1]
        yield from check_edges(model, pace, circuits, held[0][1], wiring)
    put(snapshot(min(pace.share, 0.999)))
    left = [key for key in left if key not in known]
    pace.total = pace.done + len(left) * sum(row_cost)
    for batch in _batches(circuits, left, held):
        values = np.full((len(batch), len(pairs)), np.nan)
        for some, runs in held:
            n_rows = max(1, _ROWS_BYTES // circuits.nbytes(runs.blocks.n_tokens))
            each = max(1, n_rows // len(batch))
            for start in range(0, len(some), each):
                own = list(range(start, min(start + each, len(some))))
                rows = rows_of(own, [plan.kept[key] for key in batch])
                leaving = yield from circuits.run(pace, runs, rows)
                got = yield from metrics_of(model, pace, runs, rows, leaving, result.metric)
                values[:, [some[i] for i in own]] = got.reshape(len(batch), len(own))
        known.update(zip(batch, values, strict=True))
        put(snapshot(min(pace.share, 0.999)))
    last = snapshot(1.0)
    put(last)
    return last


def _batches(
    circuits: Circuits, left: Sequence[bytes], held: Sequence[tuple[list[int], Runs]]
) -> Iterator[Sequence[bytes]]:
    """As many circuits at a time as can be run in all pairs together; at least one."""
    nbytes = sum(len(some) * circuits.nbytes(runs.blocks.n_tokens) for some, runs in held)
    each = max(1, min(_ROWS_BYTES // nbytes, 16))
    for start in range(0, len(left), each):
        yield left[start : start + each]


def _notes(model: Model, asked: FaithfulnessCurves) -> list[str]:
    s, notes = model.shape, []
    shared = s.n_heads // s.n_key_value_heads
    if asked.ranked.level == "edges" and shared > 1:
        notes.append(
            f"Each {shared} heads of a layer share their keys and values, and so one edge into "
            "either; MIB counts one a head."
        )
    return notes
