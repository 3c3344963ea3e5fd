"""Find a circuit: remove nodes one by one while the score holds, and put what is left to the test.

Everything that has gone is ablated together, by the task's means taken once; `pruning` says in what
order nodes are tried, `pruned_run` how they are scored. The circuit is then evaluated beside random
ones of its size, best on pairs the search did not see.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from ..asking import ask
from ..circuits.circuit import Circuit
from ..circuits.controls import number_of_controls
from ..circuits.evaluation import evaluated
from ..circuits.results import Evaluation
from ..errors import Cancelled, EngineError, ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.numbers import whole_number
from ..experiment.question import Question, python_of
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..passes.pace import Pace
from ..scoring.prompts import read_prompts, references_of
from ..tasks.pairs import AsPairs, Task, as_task, experiments
from .arrays import SearchArrays
from .plan import check_clean, check_prompts, nodes_of, notes_of, ranked_nodes
from .pruned_run import PrunedRun
from .rankings import scored_nodes
from .results import Discovery
from .saved import SearchFile
from .search import BY_GRADIENTS, Search
from .strategies import Account, strategy

T = TypeVar("T")

_SHOW_SECONDS, _SAVE_SECONDS = 0.2, 1.0


@dataclass(frozen=True)
class Discover(Question[Discovery, Discovery]):
    """A search for a circuit, and what its circuit is put to in the end.

    `controls`: how many random circuits it is compared with in the end, drawn with `seed`. `fresh`:
    the pairs on which it is put to the test; without any, those it was found on. `save`: a file in
    which the search is kept while it runs; where it is there already, the search goes on from it. A
    file that is damaged or of another search is set aside, and where none can be written the search
    goes on unsaved: its `notes` say so.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "discover"
    search: Search
    controls: int = 20
    seed: int = 0
    fresh: Task | None = None
    save: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.search, Search):
            raise EngineError(f"A Search is begun, not {self.search!r:.60}.")
        object.__setattr__(self, "controls", number_of_controls(self.controls))
        object.__setattr__(self, "seed", whole_number(self.seed, "The seed"))
        if self.fresh is not None:
            object.__setattr__(self, "fresh", as_task(self.fresh, self.search.model))
        if self.save is not None:
            object.__setattr__(self, "save", str(self.save))

    @property
    def model_name(self) -> str:
        return self.search.model

    def answered(self, model: Model) -> Answer[Discovery, Discovery]:
        """Snapshots of the search, each with all that is known by then; the last is the end."""
        search = self.search
        model.check_way("block by block", "search")
        path = None if self.save is None else Path(self.save)
        test = _Test(self.fresh or search.task, self.fresh is not None, self.controls, self.seed)
        return Answer(lambda put: _steps(model, search, test, SearchFile(path, search), put))

    def to_python(self, **named: str) -> str:
        return python_of_search(self, **named)


def discover(
    task: Task,
    model: str = "",
    *,
    controls: int = 20,
    seed: int = 0,
    fresh: Task | None = None,
    save: str | Path | None = None,
    view: str | None = None,
    **rule: object,
) -> Discovery:
    """Search a circuit for a task, and wait for the end.

    `model`: by itself the one the task was drawn for. `rule`: the other fields of `Search`, such as
    `threshold=0.2`, `by="pruning"`. The rest is as in `Discover`.
    """
    path = None if save is None else str(save)
    return ask(Discover(search_of(task, model, rule), controls, seed, fresh, path), view)


def search_of(given: AsPairs, model: str, rule: Mapping[str, object]) -> Search:
    """The search that is asked for in Python. Raises: EngineError, also where no model is named."""
    task = as_task(given, model)
    if not (model or task.model):
        raise ExperimentError(f"Name the model that “{task.name[:60]}” is searched in.")
    return Search(model or task.model, task, **rule)  # type: ignore[arg-type]


def python_of_search(question: Any, **named: str) -> str:
    """The Python that asks a question about a Search, its rule and the question's own options each
    by name; `named`: those that have a name already."""
    s = question.search
    task = named.get("task") or python_of(s.task)
    rule = {f.name: getattr(s, f.name) for f in fields(s) if f.name not in ("model", "task")}
    options = {n: v for n, v in rule.items() if v != getattr(Search(s.model, s.task), n)}
    options |= {
        f.name: getattr(question, f.name)
        for f in fields(question)
        if f.name not in ("search", "save") and getattr(question, f.name) != f.default
    }
    sentence = "".join(f", {n}={named.get(n) or python_of(v)}" for n, v in options.items())
    return f"engine.{question.asks}({task}, {s.model!r}{sentence})"


class _Test:
    """What a circuit is put to in the end."""

    def __init__(self, task: Task, fresh: bool, controls: int, seed: int) -> None:
        self.task, self.fresh, self.controls, self.seed = task, fresh, controls, seed

    def of(self, model: Model, circuit: Circuit) -> Steps[Evaluation]:
        """Evaluate a circuit, beside layer-matched controls where they can be drawn."""
        return evaluated(model, circuit, self.task, self.controls, self.seed, None, True)


def _steps(
    model: Model,
    search: Search,
    test: _Test,
    file: SearchFile,
    put: Callable[[Discovery], None],
) -> Steps[Discovery]:
    pace = Pace(model)
    yield 0.0
    e = Experiment(model.name, method=search.method, references=search.task.references)
    each = experiments(e, search.task.pairs)
    prompts = yield from read_prompts(model, each, "answer", search.per_position)
    check_prompts(model, search, prompts)
    pruned = PrunedRun(model, pace, prompts, search.metric)
    clean = yield from pruned.begin()
    check_clean(search, clean)
    nodes = nodes_of(model.shape, search, prompts)
    file.read(nodes, clean)
    if search.by == "gradient" and not file.order:
        nodes = yield from ranked_nodes(model, pace, search, prompts, nodes)
        file.order = tuple(map(str, nodes))
    elif search.by in BY_GRADIENTS and not file.order:
        ranked = yield from scored_nodes(model, search, nodes)
        nodes = [node for node, _ in ranked]
        file.order, file.numbers = tuple(map(str, nodes)), tuple(number for _, number in ranked)
    elif file.order:
        named = {str(node): node for node in nodes}
        nodes = [named[name] for name in file.order]
    account = Account(search, clean, 0.0 if search.metric == "kl" else clean)
    arrays = SearchArrays(
        model.shape,
        search,
        nodes,
        prompts[0].positions if search.per_position else None,
        references_of(each),
        notes_of(search, prompts),
        file.numbers,
    )
    try:
        yield from _searched(pruned, account, arrays, file, put)
    finally:
        file.write(account)
    result, wrong = None, ""
    before = arrays.snapshot(account, notes=file.notes)
    put(before)
    try:
        result = yield from test.of(model, before.circuit)
    except Cancelled:
        raise
    except EngineError as refused:
        wrong = str(refused)
    last = arrays.snapshot(
        account,
        notes=file.notes,
        done=True,
        evaluation=result,
        fresh=test.fresh,
        unevaluated=wrong,
    )
    put(last)
    return last


def _searched(
    pruned: PrunedRun,
    account: Account,
    arrays: SearchArrays,
    file: SearchFile,
    put: Callable[[Discovery], None],
) -> Steps[None]:
    """Ask and decide until the strategy ends; scores that were saved are not asked again."""
    asking = strategy(account, arrays.nodes, pruned.ahead)
    shown = written = time.monotonic()
    try:
        ask = next(asking)
        while True:
            scores = file.scores(account, ask)
            if not scores:
                work = pruned.score(ask.removed, ask.nodes)
                scores = yield from _telling(work, lambda: account.share)
                now = time.monotonic()
                if now - shown > _SHOW_SECONDS:
                    put(arrays.snapshot(account, notes=file.notes))
                    shown = now
                if now - written > _SAVE_SECONDS:
                    file.write(account)
                    written = now
            ask = asking.send(scores)
    except StopIteration:
        return


def _telling(work: Steps[T], progress: Callable[[], float]) -> Steps[T]:
    """The same work, which tells how far the walk is."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
        yield progress()
