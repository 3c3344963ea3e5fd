"""What a patching knows so far, filled in wave by wave, and its snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import ExperimentError
from ..experiment.sites import Head, HeadPart
from ..model.model import Model
from ..passes.pace import Pace
from ..scoring.metrics import STORED
from ..scoring.prompts import Prompt
from ..scoring.scorer import Target
from ..scoring.waves import Cell, Wave
from ..text.shown import token_text
from .places import HEAD_PLACES
from .plan import Plan
from .results import PatchResult

_RANK = STORED.index("rank")
"""A number that every row has."""


class PatchArrays:
    """What is known so far, on the worker's thread."""

    def __init__(
        self,
        plan: Plan,
        model: Model,
        prompts: Sequence[Prompt],
        donors: Sequence[Target],
        so_far: PatchResult | None,
    ) -> None:
        self._plan, s, n = plan, model.shape, len(prompts)
        self._of_heads = plan.place in HEAD_PLACES
        self._shared = s.n_heads // s.n_key_value_heads if plan.place in ("k", "v") else 1
        self._positions = prompts[0].positions if plan.per_position else None
        n_places = 1 if self._positions is None else len(self._positions)
        shape = (n, n_places, s.n_layers, s.n_heads if self._of_heads else 1)
        self._acts = [bool(prompt.positions) for prompt in prompts]
        self._numbers = np.full((len(STORED), *shape), np.nan)
        self._base, self._donor = np.full((2, len(STORED), n), np.nan)
        self._estimate: np.ndarray | None = None
        self._unlike = np.zeros(shape, dtype=bool)
        self._has_diff = any(prompt.target.distractor is not None for prompt in prompts)
        clean = [p.target for p in prompts] if plan.direction == "noise" else list(donors)
        corrupted = list(donors) if plan.direction == "noise" else [p.target for p in prompts]
        self._tokens = tuple(tuple(map(_tokens, targets)) for targets in (clean, corrupted))
        ids = zip(clean, corrupted, strict=True)
        self._ids = tuple((one.prompt.ids, other.prompt.ids) for one, other in ids)
        self._where = [prompt.positions for prompt in prompts]
        self._notes = tuple(dict.fromkeys(note for target in clean for note in target.notes))
        if so_far is None:
            return
        if so_far.numbers.shape != self._numbers.shape:
            raise ExperimentError("What is known so far is of a model of another shape.")
        self._numbers, self._estimate = so_far.numbers.copy(), so_far.estimate
        self._base, self._donor = so_far.base_numbers.copy(), so_far.donor_numbers.copy()

    @property
    def has_estimate(self) -> bool:
        """Whether all has been estimated."""
        return self._estimate is not None

    @property
    def estimated_metric(self) -> str:
        """What is estimated: the logit difference where there is any."""
        return "logit_diff" if self._has_diff else "log_prob"

    def left(
        self, planned: Mapping[tuple[int, ...], list[Wave]]
    ) -> dict[tuple[int, ...], list[Wave]]:
        """The waves of each group whose numbers are not known; without groups of which all is."""
        result = {}
        for group, waves in planned.items():
            for wave in waves:
                for cell in wave.cells:
                    self._unlike[self._at(cell)] = True
            rest = [w for w in waves if any(np.isnan(self._rank(cell)).any() for cell in w.cells)]
            if rest or np.isnan(self._base[_RANK, list(group)]).any():
                result[group] = rest
        return result

    def _rank(self, cell: Cell) -> np.ndarray:
        return self._numbers[_RANK][self._at(cell)]

    def _at(self, cell: Cell) -> tuple[int, int, int, slice]:
        """Where a row's numbers stand, behind the metric: those of every query head that reads
        what was patched."""
        prompt, k, site = cell
        heads = slice(None)
        if isinstance(site, Head | HeadPart):
            heads = slice(site.head, site.head + self._shared)
        return prompt, k or 0, site.layer, heads

    def fill(self, wave: Wave, numbers: np.ndarray) -> None:
        for row, cell in enumerate(wave.cells):
            self._numbers[(slice(None), *self._at(cell))] = numbers[:, row, None]

    def fill_runs(self, group: Sequence[int], base: np.ndarray, donor: np.ndarray) -> None:
        """The runs' own numbers [metric prompt]; the base's are also those of what is the same in
        both."""
        self._base[:, group], self._donor[:, group] = base, donor
        for column, prompt in enumerate(group):
            same = ~self._unlike[prompt]
            same[:, [i for i in range(same.shape[1]) if i not in self._plan.layers]] = False
            self._numbers[:, prompt, same] = base[:, column, None]

    def fill_estimate(self, group: Sequence[int], slopes: np.ndarray) -> None:
        """Of `estimated_at`: [prompt pos layer *head_index], at every position of the prompts."""
        if self._estimate is None:
            self._estimate = np.full(self._numbers.shape[1:], np.nan)
        if slopes.ndim == 4 and not self._of_heads:
            slopes = slopes.sum(-1)  # all that the heads of a layer bring together
        slopes = slopes if slopes.ndim == 4 else slopes[..., None]
        for row, prompt in enumerate(group):
            own = slopes[row, list(self._where[prompt])]
            self._estimate[prompt] = own if self._positions is not None else own.sum(0)

    def snapshot(self, pace: Pace, progress: float) -> PatchResult:
        return PatchResult(
            experiment=self._plan.e,
            pairs=self._plan.pairs,
            place=self._plan.place,
            direction=self._plan.direction,
            numbers=self._numbers.copy(),
            base_numbers=self._base.copy(),
            donor_numbers=self._donor.copy(),
            positions=self._positions,
            layers=self._plan.layers,
            unlike=np.asarray(self._unlike.any(0)),
            ids=self._ids,
            clean_tokens=self._tokens[0],
            corrupted_tokens=self._tokens[1],
            notes=self._notes,
            estimate=None if self._estimate is None else self._estimate.copy(),
            progress=progress,
            seconds=pace.seconds,
            seconds_left=0.0 if progress >= 1 else pace.seconds_left,
        )


def _tokens(target: Target) -> tuple[str, ...]:
    """A prompt's tokens as people read them."""
    return tuple(map(token_text, target.prompt.texts, target.prompt.pieces))
