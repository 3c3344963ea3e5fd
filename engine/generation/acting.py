"""When an ablation acts while a text grows: by step, and by position.

Step i is the pass that decides generated token i. Step 0 reads the prompt; step i reads the token
before it, at position n_prompt + i − 1. An ablation that acts from step k on therefore leaves the
prompt and the tokens read before as they are, and one that acts until step k leaves behind, in
the cache, what it did to them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..errors import ExperimentError
from ..experiment.ablations import Ablations, ablations
from ..experiment.experiment import Experiment
from ..experiment.results import Tokens
from ..model.model import Model
from ..passes.ablation import edits_at, has_values_past_the_prompt
from ..passes.hooks import Edit


@dataclass(frozen=True)
class Span:
    """An experiment's ablations, acting at steps `start` to before `stop`."""

    e: Experiment
    start: int = 0
    stop: int = sys.maxsize

    def at(self, n_prompt: int, first: int, stop: int) -> tuple[int, ...]:
        """The positions from `first` to before `stop` at which they act.

        Raises: ExperimentError for an index past the prompt's end.
        """
        low = _position(n_prompt, self.start)
        a, b = max(first, low), min(stop, _position(n_prompt, self.stop))
        match self.e.positions.which:
            case "all":
                return tuple(range(a, b))
            case "prompt":
                return tuple(range(a, min(b, n_prompt)))
            case "generated":
                return tuple(range(max(a, n_prompt), b))
        return tuple(p for p in self.e.positions.at(n_prompt, n_prompt) if a <= p < b)

    def ever_acts(self, n_prompt: int, n_tokens: int) -> bool:
        """Whether they change anything in a text of up to `n_tokens`."""
        last = n_tokens if has_values_past_the_prompt(self.e.method.kind) else n_prompt
        return bool(self.e.ablations) and bool(self.at(n_prompt, 0, last))


def spans(
    e: Experiment,
    from_step: int = 0,
    until_step: int | None = None,
    switches: Mapping[int, str | Ablations] | None = None,
) -> tuple[Span, ...]:
    """The experiment's ablations and what takes their place when, all from one step until another.

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
    found = [
        Span(replace(e, ablations=own), max(a, from_step), min(b, stop)) for own, a, b in bounds
    ]
    return tuple(span for span in found if span.start < span.stop)


class Acting:
    """The edits of one row while it is read, given to a decoding part by part."""

    def __init__(self, model: Model, prompt: Tokens, when: tuple[Span, ...]) -> None:
        self._model, self._prompt, self._when = model, prompt, when
        self._later: dict[tuple[bool, ...], tuple[Edit, ...]] = {}

    def reading(self, first: int, stop: int) -> tuple[Edit, ...]:
        """The edits for reading positions `first` to before `stop`, counted from `first`."""
        n = len(self._prompt)
        at = [span.at(n, first, stop) for span in self._when]
        if first < n or stop - first > 1:
            return self._edits(at, first)
        acts = tuple(map(bool, at))
        if acts not in self._later:
            self._later[acts] = self._edits(at, first)
        return self._later[acts]

    def _edits(self, at: list[tuple[int, ...]], first: int) -> tuple[Edit, ...]:
        return tuple(
            replace(
                one,
                positions=tuple(p - first for p in one.positions),
                keys=one.keys if first < len(self._prompt) else None,
            )
            for span, positions in zip(self._when, at, strict=True)
            for one in edits_at(self._model, span.e, self._prompt, positions)
        )


def _position(n_prompt: int, step: int) -> int:
    """The first position that a step reads."""
    return 0 if step == 0 else n_prompt + step - 1
