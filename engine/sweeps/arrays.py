"""What a sweep knows so far, filled in wave by wave, and its snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np

from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.method import prompt_only
from ..experiment.sites import Head, Site
from ..model.model import Model
from ..passes.pace import Pace
from ..scoring.metrics import STORED
from ..scoring.prompts import Prompt
from ..scoring.waves import Wave
from ..showing.site_grid import cells
from ..tasks.pairs import Pair
from ..text.shown import token_text
from .estimates import Estimate
from .results import SweepResult

_RANK = STORED.index("rank")
"""A number that every row has."""


class SweepArrays:
    """What is known so far, on the worker's thread."""

    def __init__(
        self, e: Experiment, pairs: tuple[Pair, ...], at: str, per_position: bool, estimate: bool
    ) -> None:
        self.e, self.pairs, self.at = e, pairs, at
        self.per_position, self.estimate = per_position, estimate
        self._estimate: Estimate | None = None

    def begin(
        self,
        model: Model,
        prompts: list[Prompt],
        references: tuple[str, ...],
        so_far: SweepResult | None = None,
    ) -> None:
        """Room for everything; what is known so far stands in it."""
        s, n = model.shape, len(prompts)
        self.positions = prompts[0].positions if self.per_position else None
        places = () if self.positions is None else (len(self.positions),)
        self.heads = np.full((len(STORED), n, *places, s.n_layers, s.n_heads), np.nan)
        self.mlps = np.full((len(STORED), n, *places, s.n_layers), np.nan)
        self.clean, self.given = np.full((2, len(STORED), n), np.nan)
        self.sites = tuple(cells(s))
        tokens = [p.target.prompt for p in prompts]
        self.pieces = _common([one.pieces for one in tokens])
        self.read = _common([tuple(map(token_text, one.texts, one.pieces)) for one in tokens])
        self.references, self.notes = references, _notes(self.e, prompts)
        if so_far is None:
            return
        if so_far.sites != self.sites or so_far.head_numbers.shape != self.heads.shape:
            raise ExperimentError("What is known so far is of a model of another shape.")
        self.heads, self.mlps = so_far.head_numbers.copy(), so_far.mlp_numbers.copy()
        self.clean, self.given = so_far.clean_numbers.copy(), so_far.given_numbers.copy()
        self._estimate = so_far.estimate

    @property
    def has_estimate(self) -> bool:
        """Whether all has been estimated."""
        return self._estimate is not None

    def left(self, planned: Mapping[tuple[int, ...], list[Wave]]) -> dict[Any, list[Wave]]:
        """The waves of each group whose numbers are not known; without groups of which all is."""
        result = {}
        for group, waves in planned.items():
            rest = [wave for wave in waves if not self._has(wave)]
            if rest or np.isnan(self.given[_RANK, list(group)]).any():
                result[group] = rest
        return result

    def _has(self, wave: Wave) -> bool:
        return not any(np.isnan(self._at(*cell)[_RANK]) for cell in wave.cells)

    def _at(self, prompt: int, k: int | None, site: Site) -> np.ndarray:
        """The numbers [metric] of a site on a prompt, as they stand in the arrays."""
        where = (slice(None), prompt, *(() if k is None else (k,)), site.layer)
        if isinstance(site, Head):
            return self.heads[(*where, site.head)]
        return self.mlps[where]

    def fill(self, wave: Wave, numbers: np.ndarray) -> None:
        for row, cell in enumerate(wave.cells):
            self._at(*cell)[:] = numbers[:, row]

    def fill_runs(
        self, group: Sequence[int], clean: np.ndarray, given: np.ndarray, idle: Sequence[Site]
    ) -> None:
        """The runs' own numbers [metric prompt]; they are also those of idle sites."""
        self.clean[:, group], self.given[:, group] = clean, given
        for site in idle:
            whole = self.heads if isinstance(site, Head) else self.mlps
            at = (site.layer, site.head) if isinstance(site, Head) else (site.layer,)
            for column, prompt in enumerate(group):
                for metric, number in enumerate(given[:, column]):
                    whole[(metric, prompt, ..., *at)] = number

    def fill_estimate(
        self, prompts: list[Prompt], group: list[int], heads: np.ndarray, mlps: np.ndarray
    ) -> None:
        if self._estimate is None:
            shapes = self.heads.shape[1:], self.mlps.shape[1:]
            metric = estimated_metric(prompts)
            self._estimate = Estimate(metric, *(np.full(shape, np.nan) for shape in shapes))
        for i, index in enumerate(group):
            one = prompts[index]
            if self._estimate.metric == "logit_diff" and one.target.distractor is None:
                continue
            where = list(one.positions)
            for whole, part in ((self._estimate.heads, heads), (self._estimate.mlps, mlps)):
                whole[index] = part[i, where] if self.per_position else part[i, where].sum(0)

    def snapshot(self, pace: Pace, progress: float) -> SweepResult:
        guess = self._estimate
        return SweepResult(
            experiment=self.e,
            pairs=self.pairs,
            at=self.at,
            head_numbers=self.heads.copy(),
            mlp_numbers=self.mlps.copy(),
            clean_numbers=self.clean.copy(),
            given_numbers=self.given.copy(),
            positions=self.positions,
            pieces=self.pieces,
            read=self.read,
            references=self.references,
            notes=self.notes,
            estimate=guess and replace(guess, heads=guess.heads.copy(), mlps=guess.mlps.copy()),
            progress=progress,
            seconds=pace.seconds,
            seconds_left=0.0 if progress >= 1 else pace.seconds_left,
            sites=self.sites,
        )


def estimated_metric(prompts: Sequence[Prompt]) -> str:
    """What is estimated: the logit difference where there is any."""
    return "logit_diff" if any(p.target.distractor is not None for p in prompts) else "log_prob"


def _notes(e: Experiment, prompts: Sequence[Prompt]) -> tuple[str, ...]:
    """What a reader must know of the prompts' answers, the method, and where it acts."""
    notes: dict[str, None] = {}
    for prompt in prompts:
        notes.update(dict.fromkeys(prompt.target.notes))
    longer = any(len(prompt.target.places) > 1 for prompt in prompts)
    if longer:
        methods = (e.method, *(change.becomes for change in e.changes))
        notes.update(dict.fromkeys(prompt_only(methods, "after it")))
        return tuple(notes)
    if e.positions.which == "generated":
        notes["Positions are “generated”: no site in the prompts themselves is ablated."] = None
    for change in e.changes:
        if change.positions.which == "generated":
            notes[f"“{change}” changes nothing in the prompts themselves."] = None
    return tuple(notes)


def _common(each: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """What stands at each place in all of some; empty where they differ."""
    return tuple(some[0] if len({*some}) == 1 else "" for some in zip_longest(*each))
