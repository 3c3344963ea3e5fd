"""When an ablation acts while a text grows: by step, and by position.

Step i is the pass that decides generated token i. Step 0 reads the prompt; step i reads the token
before it, at position n_prompt + i − 1. An ablation that acts from step k on therefore leaves the
prompt and the tokens read before as they are, and one that acts until step k leaves behind, in
the cache, what it did to them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import ExperimentError
from ..experiment.ablations import Ablations, ablations
from ..experiment.change import Change
from ..experiment.experiment import Experiment
from ..passes.hooks import Edit
from ..passes.prepare import Prepared


@dataclass(frozen=True)
class Span:
    """An experiment's changes, acting at steps `start` to before `stop`."""

    e: Experiment
    start: int = 0
    stop: int = sys.maxsize

    def within(self, n_prompt: int, first: int, stop: int) -> tuple[int, int]:
        """The part of the positions from `first` to before `stop` that these steps read."""
        low, high = (_position(n_prompt, step) for step in (self.start, self.stop))
        return max(first, low), min(stop, high)

    def changes(self, n_prompt: int, n_tokens: int) -> tuple[Change, ...]:
        """Those of the changes that change anything in a text of up to `n_tokens`.

        Raises: ExperimentError for an index past the prompt's end.
        """
        first, stop = self.within(n_prompt, 0, n_tokens)
        result = []
        for one in self.e.every_change:
            last = min(stop, n_prompt) if one.becomes.kind.by_position else stop
            if one.positions.at(n_prompt, last, first):
                result.append(one)
        return tuple(result)


def spans(
    e: Experiment,
    from_step: int = 0,
    until_step: int | None = None,
    switches: Mapping[int, str | Ablations] | None = None,
) -> tuple[Span, ...]:
    """The experiment's changes and what takes the place of its ablations when, all from one step
    until another.

    Raises: ExperimentError for steps that are none.
    """
    stop = sys.maxsize if until_step is None else until_step
    steps = sorted(switches or {})
    if min([from_step, stop, *steps]) < 0:
        raise ExperimentError("Steps count from 0.")
    if stop < from_step:
        raise ExperimentError(
            f"An ablation from step {from_step} on and only until step {stop} never acts."
        )
    sets = [e.ablations, *(ablations((switches or {})[step]) for step in steps)]
    bounds = zip(sets, [0, *steps], [*steps, stop], strict=True)
    result = [
        Span(replace(e, ablations=own), max(a, from_step), min(b, stop)) for own, a, b in bounds
    ]
    return tuple(span for span in result if span.start < span.stop)


class Schedule:
    """The edits of one row while it is read, given to a decoding part by part."""

    def __init__(self, n_prompt: int, when: Sequence[tuple[Span, Prepared]]) -> None:
        self._n_prompt, self._when = n_prompt, when
        self._later: dict[tuple[bool, ...], tuple[Edit, ...]] = {}

    def reading(self, first: int, stop: int) -> tuple[Edit, ...]:
        """The edits for reading positions `first` to before `stop`, counted from `first`."""
        n = self._n_prompt
        at = [span.within(n, first, stop) for span, _ in self._when]
        if first < n or stop - first > 1:
            return self._edits(at, first)
        acts = tuple(a < b for a, b in at)  # one token behind the prompt is as any other
        if acts not in self._later:
            self._later[acts] = tuple(replace(one, keys=None) for one in self._edits(at, first))
        return self._later[acts]

    def _edits(self, at: Sequence[tuple[int, int]], first: int) -> tuple[Edit, ...]:
        return tuple(
            replace(one, positions=tuple(p - first for p in one.positions))
            for (_, prepared), (a, b) in zip(self._when, at, strict=True)
            for one in prepared.edits(b, a)
        )


def _position(n_prompt: int, step: int) -> int:
    """The first position that a step reads."""
    return 0 if step == 0 else n_prompt + step - 1
