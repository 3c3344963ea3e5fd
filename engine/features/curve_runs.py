"""The circuits of features that a curve asks for, run a few at a time, small ones first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from ..errors import ExperimentError
from ..model.model import Model
from ..model.worker import Steps
from ..passes.pace import Pace
from ..passes.points import Capture
from ..scoring.prompts import Prompt
from ..scoring.waves import rows_at_once
from .circuits import NOT_RUN, FeatureCircuits, Plan
from .curve_results import SHARE, FeatureCurve
from .readings import Reading
from .shifted import Runs, Shift, run_shifted, runs_of


class Known:
    """The metric of circuits, by key, and of the baseline run, for each pair, as far as known.

    `nothing`: the curve of which nothing is known.
    """

    def __init__(self, plan: Plan, nothing: FeatureCurve) -> None:
        self.plan, self.metric, self._nothing = plan, nothing.metric, nothing
        self.whole = np.full(len(nothing.pairs), np.nan)
        self.values = {key: self.whole.copy() for key in plan.members}

    @property
    def n_left(self) -> int:
        """How many circuits are not known yet."""
        return sum(not np.isfinite(own).all() for own in self.values.values())

    def take_over(self, so_far: FeatureCurve) -> None:
        """What is known of the same curve."""
        if so_far.order != self.plan.order:
            return
        for size in sorted({*so_far.sizes} - {*self.plan.sizes}):
            self.add(size)
        plan = self.plan
        keys = ((plan.none,), plan.kept, plan.removed, *plan.random)
        every = (so_far.none[None], so_far.kept, so_far.removed, *so_far.random)
        for some, values in zip(keys, every, strict=True):
            for key, own in zip(some, values, strict=True):
                if key != NOT_RUN:
                    self.values[key] = np.where(np.isfinite(own), own, self.values[key])

    def add(self, size: int) -> None:
        """One size more is to be known."""
        self.plan = self.plan.with_size(size)
        for key in self.plan.members:
            self.values.setdefault(key, np.full(len(self.whole), np.nan))

    def halfway(self) -> int | None:
        """The size between the last that keeps less than the share by which a smallest circuit is
        named and the first that keeps it; None where they are neighbours, or there is none."""
        plan = self.plan
        kept = np.array([self.values[key].mean() for key in plan.kept])
        whole, none = self.whole.mean(), self.values[plan.none].mean()
        enough = np.flatnonzero((kept - none) / (whole - none) >= SHARE)
        if not len(enough):
            return None
        last, first = (0, *plan.sizes)[enough[0]], plan.sizes[enough[0]]
        return (last + first) // 2 if first - last > 1 else None

    @property
    def most_halvings(self) -> int:
        """How many sizes may have to be tried between two that are."""
        return int(np.diff((0, *self.plan.sizes)).max()).bit_length()

    def result(self, pace: Pace, progress: float) -> FeatureCurve:
        """What is known by now."""
        plan, unknown = self.plan, np.full(len(self.whole), np.nan)

        def of(keys: Sequence[bytes]) -> np.ndarray:
            return np.array([self.values.get(key, unknown) for key in keys])

        random = np.empty((len(plan.random), len(plan.sizes), len(self.whole)))
        random[:] = [of(keys) for keys in plan.random] if len(random) else np.nan
        return replace(
            self._nothing,
            sizes=plan.sizes,
            whole=self.whole.copy(),
            none=self.values[plan.none].copy(),
            kept=of(plan.kept),
            removed=of(plan.removed),
            random=random,
            progress=progress,
            seconds_left=0.0 if progress >= 1 else pace.seconds_left,
        )

    def check_ends(self) -> None:
        """Refuse features that carry nothing of the answer: there is no share of it.

        Raises: ExperimentError where that is known.
        """
        whole, none = float(self.whole.mean()), float(self.values[self.plan.none].mean())
        if abs(whole - none) < 1e-4 * max(1.0, abs(whole)):
            raise ExperimentError(
                f"The answer fares alike with all features of “{self._nothing.sae.name}” and with "
                f"none kept ({whole:.4f} and {none:.4f}, means): they carry nothing of it here "
                "that a share could be kept of."
            )


@dataclass(frozen=True, eq=False)
class CircuitRuns:
    """Circuits to be run of prompts, `at` an SAE's place."""

    model: Model
    pace: Pace
    at: Capture
    known: Known
    circuits: FeatureCircuits
    prompts: Sequence[Prompt]
    readings: Sequence[Reading]
    _held: dict[int, list[tuple[Sequence[int], Runs]]] = field(default_factory=dict)

    def run(
        self, groups: Sequence[Sequence[int]], put: Callable[[FeatureCurve], None]
    ) -> Steps[None]:
        """Run the circuits that are not known of prompts that are held together, by index, those of
        a group sharing a pass. Raises: EngineError in words."""
        model, pace, known = self.model, self.pace, self.known
        runs = yield from self._runs(groups)
        here = [i for group in groups for i in group]
        left = [key for key, own in known.values.items() if not np.isfinite(own[here]).all()]
        longest = max(len(self.prompts[i].target.ids) for i in here)
        each = max(1, rows_at_once(model, longest) // len(here))
        for start in range(0, len(left), each):
            for group, made in runs:
                yield from self._rows(group, made, left[start : start + each])
            known.check_ends()
            put(known.result(pace, min(pace.share, 0.999)))

    def _runs(self, groups: Sequence[Sequence[int]]) -> Steps[list[tuple[Sequence[int], Runs]]]:
        """The baseline runs of prompts: those made last are held."""
        if id(groups) not in self._held:
            self._held.clear()
            runs: list[tuple[Sequence[int], Runs]] = []
            for group in groups:
                own = [self.prompts[i] for i in group]
                made = yield from runs_of(self.model, self.pace, own, self.known.metric)
                self.known.whole[group] = made.given
                runs.append((group, made))
            self._held[id(groups)] = runs
        return self._held[id(groups)]

    def _rows(self, group: Sequence[int], made: Runs, batch: Sequence[bytes]) -> Steps[None]:
        """Some circuits of a group."""
        values, rows, cells = self.known.values, list[Shift](), list[tuple[bytes, int]]()
        for key in batch:
            kept = self.known.plan.members[key]
            for text, i in enumerate(group):
                positions = self.readings[i].positions
                if not positions:
                    values[key][i] = made.given[text]
                elif not np.isfinite(values[key][i]):
                    rows.append(Shift(text, positions, partial(self.circuits.added, i, kept)))
                    cells.append((key, i))

        def done(part: Sequence[int], found: np.ndarray) -> None:
            for row, value in zip(part, found, strict=True):
                key, i = cells[row]
                values[key][i] = value

        yield from run_shifted(self.model, self.pace, made, self.at, rows, done)
