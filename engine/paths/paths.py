"""Direct paths asked about: all senders to one set of receivers, or every pair within a circuit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..asking import ask
from ..errors import EngineError, ExperimentError
from ..experiment.experiment import Experiment, check_experiment
from ..experiment.question import Question
from ..experiment.sites import MLP, Head, Site, parse_sites, resolve_sites
from ..model.model import Model
from ..model.work import Answer
from ..model.worker import Steps
from ..tasks.pairs import Task, asked_of
from ..tasks.scores import late_notes
from .patching import Path, patched
from .receivers import LOGITS, Receiver, inputs_of, parse_receivers, print_receivers
from .results import PathMatrix, PathPatch

MOST_PATHS = 200_000
"""Paths times pairs that can be asked for at once."""


@dataclass(frozen=True)
class PatchPaths(Question[None, PathPatch]):
    """The direct path from each sender to a set of receivers, patched one sender at a time.

    The experiment's method says what a sender's output becomes: with `resample` its value in the
    corrupted prompt's run, with `mean` an average; its positions say where; nothing else is
    changed. `senders`: heads and MLPs, None for all. `receivers`: as in `"9.6.q m10 logits"`.
    `task`: take its pairs in turn instead of the experiment's own prompt.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "path_patch"
    n_plain = 3
    e: Experiment
    senders: tuple[Site, ...] | None = None
    receivers: str = "logits"
    task: Task | None = None

    def __post_init__(self) -> None:
        check_experiment(self.e)
        if self.senders is not None:
            object.__setattr__(self, "senders", parse_sites(self.senders))
        if not isinstance(self.receivers, str):
            object.__setattr__(self, "receivers", print_receivers(self.receivers))

    @property
    def model_name(self) -> str:
        return self.e.model

    def answered(self, model: Model) -> Answer[None, PathPatch]:
        """PathPatch, by the clean logit difference and that with each path patched."""
        sites = _senders(model, self.senders)
        into = parse_receivers(self.receivers, model.shape)
        notes = _notes(model, into)

        def steps(_: object) -> Steps[PathPatch]:
            paths = [Path(sender, into) for sender in sites]
            clean, result = yield from over_pairs(model, self.e, self.task, paths)
            late = late_notes(model, _each(self.e, self.task), [self.e.method])
            return PathPatch(sites, into, result, clean, (*notes, *late))

        return Answer(steps)


def path_patch(
    e: Experiment,
    senders: str | Iterable[Site] | None = None,
    receivers: str | Iterable[Receiver] = "logits",
    *,
    task: Task | None = None,
    view: str | None = None,
) -> PathPatch:
    """Ask `PatchPaths` and wait for the result. Raises: EngineError in words."""
    sites = None if senders is None else parse_sites(senders)
    written = receivers if isinstance(receivers, str) else print_receivers(receivers)
    return ask(PatchPaths(e, sites, written, task), view)


@dataclass(frozen=True)
class MapPaths(Question[None, PathMatrix]):
    """The direct path between every two members of a circuit, and from each to the logits, patched.

    A path leads from a sender to the inputs of a member in a later layer, or of the MLP of its own
    layer where MLPs come after heads. `split`: a head's queries, keys and values each by themselves
    rather than together. The rest is as in `PatchPaths`.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "path_matrix"
    n_plain = 2
    e: Experiment
    members: tuple[Site, ...]
    split: bool = False
    task: Task | None = None

    def __post_init__(self) -> None:
        check_experiment(self.e)
        object.__setattr__(self, "members", parse_sites(self.members))

    @property
    def model_name(self) -> str:
        return self.e.model

    def answered(self, model: Model) -> Answer[None, PathMatrix]:
        """PathMatrix, a mean over the pairs."""
        sites = _senders(model, self.members)
        inputs: list[tuple[Receiver, ...]] = []
        for site in sites:
            own = inputs_of(site)
            inputs += [(one,) for one in own] if self.split else [own]
        inputs.append((LOGITS,))
        notes = _notes(model, [one for some in inputs for one in some])

        def steps(_: object) -> Steps[PathMatrix]:
            paths = [Path(sender, some) for sender in sites for some in inputs]
            clean, result = yield from over_pairs(model, self.e, self.task, paths)
            effect = (result - clean[:, None]).mean(0).reshape(len(sites), len(inputs))
            late = late_notes(model, _each(self.e, self.task), [self.e.method])
            return PathMatrix(sites, tuple(inputs), effect, float(clean.mean()), (*notes, *late))

        return Answer(steps)


def path_matrix(
    e: Experiment,
    members: str | Iterable[Site],
    *,
    split: bool = False,
    task: Task | None = None,
    view: str | None = None,
) -> PathMatrix:
    """Ask `MapPaths` and wait for the result. Raises: EngineError in words."""
    return ask(MapPaths(e, parse_sites(members), split, task), view)


def over_pairs(
    model: Model, e: Experiment, task: Task | None, paths: Sequence[Path]
) -> Steps[tuple[np.ndarray, np.ndarray]]:
    """Patch each path in each pair. Returns: logit differences clean [pairs], patched
    [pairs paths]."""
    each = _each(e, task)
    if len(each) * len(paths) > MOST_PATHS:
        raise ExperimentError(
            f"{len(paths):,} paths in {len(each):,} pairs are {len(paths) * len(each):,}; at most "
            f"{MOST_PATHS:,} are patched at once. Name fewer senders, or take fewer pairs."
        )
    clean, result = [], []
    for i, one in enumerate(each):
        work = patched(model, one, paths)
        while True:
            try:
                yield (i + next(work)) / len(each)
            except StopIteration as end:
                diff, diffs = end.value
                break
            except EngineError as wrong:
                raise type(wrong)(
                    str(wrong) if task is None else f"Pair {i + 1} of “{task.name[:60]}”: {wrong}"
                ) from wrong
        clean.append(diff)
        result.append(diffs)
    return np.array(clean), np.array(result)


def _each(e: Experiment, task: Task | None) -> list[Experiment]:
    """The experiment asked of each pair, or by itself."""
    return [e] if task is None else [asked_of(e, pair, task.references) for pair in task.pairs]


def _senders(model: Model, given: tuple[Site, ...] | None) -> tuple[Site, ...]:
    s = model.shape
    if given is None:
        return (*s.heads, *s.mlps)
    result = resolve_sites(given, s)
    if not result:
        raise ExperimentError("No senders are named; write heads and MLPs, as in 9.1 m9.")
    other = next((site for site in result if not isinstance(site, Head | MLP)), None)
    if other is not None:
        raise ExperimentError(f"Paths lead from heads and MLPs, not from {other}.")
    return result


def _notes(model: Model, into: Sequence[Receiver]) -> tuple[str, ...]:
    s = model.shape
    shared = s.n_heads // s.n_key_value_heads
    if shared > 1 and any(one.part in ("k", "v") for one in into):
        return (
            f"Each {shared} heads of a layer share their keys and values in this model: patching "
            "those of one patches them for all of its group.",
        )
    return ()
