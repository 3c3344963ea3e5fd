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
from random import Random

import numpy as np

from ..asking import ask
from ..attribution.readout import close_to
from ..attribution.runs import there
from ..attribution.written import check_added, refused
from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.numbers import whole_number
from ..experiment.parsed import Parsed, field
from ..experiment.question import Question
from ..gradients.asked import Read, read
from ..gradients.runs import CLEAN, CORRUPTED, Runs, both_runs, cut
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes import forward
from ..passes.forward import Row
from ..passes.pace import Pace
from ..tasks.pairs import AsPairs, Task, as_task
from .edge_runs import SEEN as SEEN_BY_EDGES
from .edge_runs import EdgeCircuits
from .ranked import ORDERS, Ranked
from .results import SHARES, FaithfulnessCurve
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


@dataclass(frozen=True, eq=False)
class _Plan:
    """Every circuit that is asked about: by curve, its own first, and size, the key of what is
    run, and what is run by key."""

    sizes: tuple[int, ...]
    n_members: int
    keys: list[list[bytes]]
    kept: dict[bytes, np.ndarray]
    n_edges: list[int]


def _plan(wiring: Wiring, asked: FaithfulnessCurves, order: Sequence[str]) -> _Plan:
    one = asked.ranked
    n = len(order)
    if one.is_circuit:
        sizes: tuple[int, ...] = (sum(score == 1 for _, score in one.scores),)
    else:
        sizes = tuple(int(share * n) for share in SHARES)
    unscored = set() if one.level == "edges" else set(wiring.index) - set(order)
    rng = Random(asked.seed)
    keys: list[list[bytes]] = []
    kept: dict[bytes, np.ndarray] = {}
    n_edges: list[int] = []
    for draw in range(1 + asked.controls):
        members = order if draw == 0 else rng.sample(order, n)
        keys.append([])
        for size in sizes:
            whole = wiring.kept(one.level, set(members[:size]), unscored)
            pruned = wiring.pruned(whole)
            if draw == 0:
                n_edges.append(int(pruned.sum()))
            run = pruned if one.level == "edges" else whole
            key = np.packbits(run).tobytes()
            keys[-1].append(key)
            kept.setdefault(key, run)
    return _Plan(sizes, n, keys, kept, n_edges)


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
    plan = _plan(wiring, asked, order)
    yield 0.0
    level = asked.ranked.level
    circuits: Circuits = (EdgeCircuits if level == "edges" else NodeCircuits)(model, wiring.graph)
    result = yield from read(
        model, Experiment(model.name), asked.task.pairs, "a faithfulness curve", late=False
    )
    _check(model, result, level)
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
            n_edges=tuple(plan.n_edges),
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
    left = [key for key in dict.fromkeys(k for keys in plan.keys for k in keys) if key not in known]
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
    _check_ends(metric)
    whole = wiring.is_edge
    known[np.packbits(whole).tobytes()] = metric[0]
    if level == "edges":
        known[np.packbits(np.zeros_like(whole)).tobytes()] = metric[1]
        yield from _check_edges(model, pace, circuits, held[0][1], wiring)
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
                got = metrics_of(model, runs, rows, leaving, result.metric)
                yield pace.share
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


def _check(model: Model, result: Read, level: str) -> None:
    """Refuse more pairs than are held, and for edges a model that adds to its stream otherwise."""
    s, tokens = model.shape, sum(len(p.target.ids) for p in result.prompts)
    nbytes = 2 * tokens * s.n_layers * s.d_model * model.dtype.itemsize * 4
    if nbytes > MOST_BYTES:
        raise ExperimentError(
            f"What {len(result.prompts):,} pairs write takes {nbytes / 2**30:.1f} GiB, and at most "
            f"{MOST_BYTES / 2**30:.0f} are held. Take fewer pairs."
        )
    if level == "nodes":
        return
    ids = max((prompt.target.ids for prompt in result.prompts), key=len)
    stream = there(model, "resid_pre", "attn_out", "resid_mid", "mlp_out")
    stream |= {("resid_post", s.n_layers - 1)}
    (row,) = forward.run(model, [Row(ids, captures=stream, at_end=True)])
    others = check_added(model, row.captured)
    if others:
        raise refused(
            model, others[0],
            "more is added to the stream than what heads and MLPs write, so no circuit of edges "
            "is run", "Circuits of nodes can be had.",
        )  # fmt: skip


def _check_edges(
    model: Model, pace: Pace, circuits: Circuits, runs: Runs, wiring: Wiring
) -> Steps[None]:
    """Refuse a model in which all edges kept are not the clean run, or none the corrupted one."""
    assert isinstance(circuits, EdgeCircuits)
    circuits.check(runs)
    ends = rows_of([0], [wiring.is_edge, np.zeros_like(wiring.is_edge)])
    leaving = yield from circuits.run(pace, runs, ends)
    post = runs.captured["resid_post", model.shape.n_layers - 1][:, 0].float()
    for run in (CLEAN, CORRUPTED):
        off = (leaving[run].float() - post[run]).norm()
        if not off <= close_to(model) * post[run].norm():
            raise refused(
                model, model.shape.n_layers - 1,
                "the stream is not what edges into queries, keys, values and MLPs make of it, so "
                "no circuit of edges is run", "Circuits of nodes can be had.",
            )  # fmt: skip


def _check_ends(metric: np.ndarray) -> None:
    """Refuse pairs that the model scores alike in both runs: there is nothing to be kept."""
    clean, corrupted = metric.mean(1).tolist()
    if abs(clean - corrupted) < 1e-4 * max(1.0, abs(clean)):
        raise ExperimentError(
            f"The model scores these pairs alike in both runs ({clean:.4f} clean, {corrupted:.4f} "
            "corrupted, means): there is nothing for a circuit to keep, and no share of it. Take "
            "corrupted prompts in which the answer does not follow."
        )


def _notes(model: Model, asked: FaithfulnessCurves) -> list[str]:
    s, notes = model.shape, []
    shared = s.n_heads // s.n_key_value_heads
    if asked.ranked.level == "edges" and shared > 1:
        notes.append(
            f"Each {shared} heads of a layer share their keys and values, and so one edge into "
            "either; MIB counts one a head."
        )
    return notes
