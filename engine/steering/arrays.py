"""What a steering knows so far, filled in wave by wave, and its snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..passes.growing import Base
from ..passes.pace import Pace
from ..scoring.metrics import STORED
from ..scoring.waves import Cell, Wave
from ..tasks.pairs import Pair
from .neutral import NEUTRAL
from .results import SteeringResult
from .runs import Group, Lines

_ALWAYS = STORED.index("rank"), NEUTRAL.index("loss")
"""Numbers that every row has: of prompts, and of texts."""


class SteeringArrays:
    """What is known so far, on the worker's thread."""

    def __init__(
        self,
        e: Experiment,
        name: str,
        layers: tuple[int, ...],
        coefficients: tuple[float, ...],
        seed: int,
        lines: Lines,
        added: Float[Tensor, "direction d_model"],
        so_far: SteeringResult | None,
    ) -> None:
        self._asked = (e, name, layers, seed)
        self._lines, self._layers, self.coefficients = lines, layers, coefficients
        self._norm = float(added[0].norm())
        shape = (len(added), len(layers), len(coefficients))
        n, n_texts = lines.n_scored, len(lines.prompts) - lines.n_scored
        self._numbers = np.full((len(STORED), shape[0], n, *shape[1:]), np.nan)
        self._neutral = np.full((len(NEUTRAL), shape[0], n_texts, *shape[1:]), np.nan)
        longest = max(
            (len(one.target.prompt) for one in lines.prompts[: lines.n_wanted]), default=0
        )
        self._norms = np.full((lines.n_wanted, len(layers), longest), np.nan)
        if so_far is None:
            return
        if (so_far.numbers.shape, so_far.neutral.shape) != (
            self._numbers.shape,
            self._neutral.shape,
        ):
            raise ExperimentError("What is known so far is of other prompts or texts.")
        self._numbers, self._neutral = so_far.numbers.copy(), so_far.neutral.copy()
        self._norms = so_far.token_norms.copy()

    def widen(self, more: Iterable[float]) -> None:
        """Make room for further coefficients, of which nothing is known but the clean runs."""
        before = self.coefficients
        self.coefficients = tuple(sorted({*before, *more}))
        columns = [self.coefficients.index(c) for c in before]
        for name in ("_numbers", "_neutral"):
            old = getattr(self, name)
            new = np.full((*old.shape[:-1], len(self.coefficients)), np.nan)
            new[..., columns] = old
            setattr(self, name, new)

    def left(self, planned: Mapping[Group, Sequence[Wave]]) -> dict[Group, list[Wave]]:
        """The waves of each group whose numbers are not known; without groups of which all is."""
        result = {}
        for group, waves in planned.items():
            rest = [wave for wave in waves if any(np.isnan(self._known(c)) for c in wave.cells)]
            if rest:
                result[group] = rest
        return result

    def _known(self, cell: Cell) -> float:
        values, at = self._at(cell)
        return float(values[(_ALWAYS[values is self._neutral], *at)])

    def _at(self, cell: Cell) -> tuple[np.ndarray, tuple[int, int, int, int]]:
        """Where a row's numbers stand, behind the measure, and of which array."""
        i, addition, site = cell
        assert addition is not None and not isinstance(site, str)
        draw, column = divmod(addition, len(self.coefficients))
        row = self._layers.index(site.layer)
        if i < self._lines.n_scored:
            return self._numbers, (draw, i, row, column)
        return self._neutral, (draw, i - self._lines.n_scored, row, column)

    def is_known(self, draw: int, c: float) -> bool:
        """Whether all is known of a direction added with a coefficient, in every layer."""
        column = self.coefficients.index(c)
        numbers = self._numbers[_ALWAYS[0], draw, ..., column]
        texts = self._neutral[_ALWAYS[1], draw, ..., column]
        return bool(np.isfinite(numbers).all() and np.isfinite(texts).all())

    def fill(self, wave: Wave, numbers: np.ndarray) -> None:
        for row, cell in enumerate(wave.cells):
            values, at = self._at(cell)
            values[(slice(None), *at)] = numbers[:, row]

    def fill_clean(self, group: Group, run: Base, numbers: np.ndarray) -> None:
        """The clean runs' own numbers [measure line]: those of coefficient 0 everywhere."""
        zero, first = self.coefficients.index(0.0), self._lines.n_scored
        for column, i in enumerate(group):
            if i < first:
                self._numbers[:, :, i, :, zero] = numbers[:, column, None, None]
                if i < self._lines.n_wanted:
                    prompt = self._lines.prompts[i].target.prompt
                    own = slice(int(prompt.bos and len(prompt) > 1), len(prompt))
                    for row, layer in enumerate(self._layers):
                        norms = run.stream[layer][column, own].float().norm(dim=-1)
                        self._norms[i, row, own] = norms.cpu().numpy()
            else:
                self._neutral[:, :, i - first, :, zero] = numbers[:, column, None, None]

    def snapshot(self, pace: Pace, progress: float) -> SteeringResult:
        e, name, layers, seed = self._asked
        return SteeringResult(
            experiment=e,
            name=name,
            pairs=tuple(_pair(one.e) for one in self._lines.prompts[: self._lines.n_wanted]),
            spared=self._lines.spared,
            layers=layers,
            coefficients=self.coefficients,
            seed=seed,
            numbers=self._numbers.copy(),
            neutral=self._neutral.copy(),
            n_tokens=tuple(
                len(one.target.answer) for one in self._lines.prompts[self._lines.n_scored :]
            ),
            norm=self._norm,
            token_norms=self._norms.copy(),
            notes=tuple(
                dict.fromkeys(
                    note
                    for one in self._lines.prompts[: self._lines.n_wanted]
                    for note in one.target.notes
                )
            ),
            progress=progress,
            seconds=pace.seconds,
            seconds_left=0.0 if progress >= 1 else pace.seconds_left,
        )


def _pair(e: Experiment) -> Pair:
    return Pair(e.prompt, e.corrupted, e.answer, e.distractor)
