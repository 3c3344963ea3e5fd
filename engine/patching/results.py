"""Results of a patching: what each place's value brings of the other run's answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from ..errors import ExperimentError
from ..experiment.ablations import Ablations
from ..experiment.change import Change
from ..experiment.experiment import Experiment
from ..experiment.method import Kind, Method
from ..experiment.positions import Positions
from ..experiment.results import Snapshot
from ..experiment.sites import Head, Site
from ..scoring.metrics import METRIC_NAMES, STORED
from ..showing.site_grid import SiteGrid, site_columns
from ..showing.site_positions import plain
from ..showing.writing import Rows
from ..sweeps.estimates import agreement_of, mean_of
from ..tasks.pairs import Pair
from .figures import patch_figure
from .places import HEAD_PLACES, PATCH_PLACES, site_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

PATCH_ASPECTS = {
    "share": "share of the way to the other run",
    "spread": "spread of the share over prompts",
    "change": "patched − unpatched",
    "estimate": "estimated share, first order",
}
"""What is shown of a place."""


@dataclass(frozen=True)
class PatchResult(Snapshot):
    """Each place patched alone, as far as it is done.

    `experiment`, `pairs`, `place`, `direction`: what was asked. `numbers` [metric prompt pos layer
    head_index], in the order of `metrics.STORED`: of the run with that one place patched; the
    position axis is of length 1 where all of `experiment`'s positions are patched together, the
    head axis for places of a layer. NaN where not done yet, where the metric has no value, or where
    a layer lacks the place. `base_numbers` and `donor_numbers` [metric prompt]: of the run that is
    patched and the one it is patched from; divergences are from the base. `positions`: those of the
    position axis, None without it. `layers`: those that have the place. `unlike` [pos layer
    head_index]: where the two runs hold different values, in any prompt; elsewhere patching changes
    nothing. `ids`: of each pair the clean and the corrupted prompt's; `clean_tokens` and
    `corrupted_tokens` [prompt pos]: their tokens. `estimate` [prompt pos layer head_index]: the
    first-order estimate of the change of `metric`. `progress`: 0 to 1. `seconds`, and
    `seconds_left` if it goes on like this.

    A share is 0 where nothing changes and 1 where the base becomes as the donor: of denoising, all
    is brought back; of noising, all is lost. Below 0 it goes the other way.
    """

    experiment: Experiment
    pairs: tuple[Pair, ...]
    place: str
    direction: str
    numbers: Float[np.ndarray, "metric prompt pos layer head_index"]
    base_numbers: Float[np.ndarray, "metric prompt"]
    donor_numbers: Float[np.ndarray, "metric prompt"]
    positions: tuple[int, ...] | None
    layers: tuple[int, ...]
    unlike: Bool[np.ndarray, "pos layer head_index"]
    ids: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    clean_tokens: tuple[tuple[str, ...], ...]
    corrupted_tokens: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    estimate: Float[np.ndarray, "prompt pos layer head_index"] | None
    seconds: float
    seconds_left: float | None

    @property
    def metric(self) -> str:
        """What shares are of: the logit difference, or, where no pair has one, the answer's
        log-probability."""
        known = np.isfinite(self.base_numbers[0]).any() or not np.isfinite(self.base_numbers).any()
        return "logit_diff" if known else "log_prob"

    @property
    def differs(self) -> tuple[bool, ...]:
        """At which positions clean and corrupted prompts have different tokens, in any pair."""
        longest = max(len(clean) for clean, _ in self.ids)
        return tuple(
            any(clean[p : p + 1] != other[p : p + 1] for clean, other in self.ids)
            for p in range(longest)
        )

    @property
    def exact(self) -> Bool[np.ndarray, "pos layer head_index"]:
        """What is known on every prompt."""
        return np.isfinite(self._values(self.numbers)).all(0)

    @property
    def n_places(self) -> int:
        """How many places are patched, at each of the positions."""
        return self.unlike[:, list(self.layers)].size

    @property
    def n_done(self) -> int:
        """How many of them are known on every prompt."""
        return int(self.exact.sum())

    def shown(self, aspect: str = "share") -> Float[np.ndarray, "pos layer head_index"]:
        """What PATCH_ASPECTS names, over the prompts that are done. Shares are of means: the mean
        change over the mean difference between the runs, so that a pair whose runs hardly differ
        does not outweigh the others; `spread` is the standard deviation over prompts of the change,
        over the same. NaN where nothing is known, or where the two runs score alike.

        Raises: ExperimentError for another name, or an estimate that was not asked for.
        """
        change = self.estimate if aspect == "estimate" else self._changes
        if aspect not in PATCH_ASPECTS or change is None:
            raise ExperimentError(f"There is no “{aspect!s:.40}” in this patching.")
        known = np.isfinite(change)
        if aspect == "change":
            return mean_of(change)
        ways = self._values(self.donor_numbers) - self._values(self.base_numbers)
        way = mean_of(np.where(known, ways[:, None, None, None], np.nan))
        way = np.where(np.abs(way) > _SAME, way, np.nan)
        if aspect == "spread":
            return np.sqrt(mean_of((change - mean_of(change)) ** 2)) / np.abs(way)
        return mean_of(change) / way

    @property
    def agreement(self) -> float:
        """Pearson's correlation of the estimate with what is exact, over the places where the runs
        differ; NaN without an estimate, for fewer than 3, or without spread."""
        if self.estimate is None:
            return float("nan")
        told, exact = (self.shown(of)[self.unlike] for of in ("estimate", "share"))
        known = np.isfinite(mean_of(self._changes)[self.unlike])
        return agreement_of(told[known], exact[known]).pearson

    @property
    def _changes(self) -> np.ndarray:
        """Patched − unpatched, of each prompt."""
        return self._values(self.numbers) - self._values(self.base_numbers)[:, None, None, None]

    def _values(self, numbers: np.ndarray) -> np.ndarray:
        return numbers[STORED.index(self.metric)]

    def run(self, which: str) -> float:
        """The mean of `metric` over prompts in the run that is patched, "base", or patched from,
        "donor"; "clean" and "corrupted" name the same two."""
        first = "corrupted" if self.direction == "denoise" else "clean"
        numbers = self.base_numbers if which in ("base", first) else self.donor_numbers
        return float(mean_of(self._values(numbers)))

    def change_of(self, layer: int, position: int | None = None, head: int = 0) -> Change:
        """This patch as a change of an experiment whose corrupted prompt is the donor."""
        where = self.experiment.positions if position is None else Positions.parse(position)
        return Change(Ablations((site_of(self.place, layer, head),)), Method(Kind.RESAMPLE), where)

    def cells(self) -> list[tuple[int, Site, tuple[int, int, int]]]:
        """Every place: its position's index (0 without the axis), its site, and where its numbers
        stand, [pos layer head_index]; layer by layer."""
        n_pos, _, n_heads = self.unlike.shape
        return [
            (k, site_of(self.place, layer, head), (k, layer, head))
            for layer in self.layers
            for head in range(n_heads)
            for k in range(n_pos)
        ]

    def grid(self, aspect: str = "share", position: int | None = None) -> SiteGrid:
        """What PATCH_ASPECTS names, of each head; of a patching position by position, at one of
        its positions (by its index in the prompt), or where each head's share is furthest from 0.

        Raises: ExperimentError for places of a layer, and for a position that was not patched.
        """
        if self.place not in HEAD_PLACES:
            raise ExperimentError(f"{self.place} is a place of a layer, not of a head.")
        values, exact = self.shown(aspect), self.exact
        if position is not None and position not in (self.positions or ()):
            raise ExperimentError(f"Position {position} was not patched by itself.")
        if position is not None and self.positions is not None:
            k = np.full(values.shape[1:], self.positions.index(position))
        else:
            k = np.nan_to_num(np.abs(self.shown("change")), nan=-1.0).argmax(0)
        heads = np.take_along_axis(values, k[None], axis=0)[0]
        known = exact.all(0) if position is None else np.take_along_axis(exact, k[None], 0)[0]
        guessed = np.isfinite(heads) & (True if aspect == "estimate" else ~known)
        guesses = frozenset(Head(i, h) for i, h in np.argwhere(guessed).tolist())
        signed, less, mlps = *self.sense(aspect), np.full(len(heads), np.nan)
        return SiteGrid(heads, mlps, self.name(aspect), signed, less, inexact=guesses)

    def name(self, aspect: str = "share") -> str:
        """What the numbers are called, with their unit."""
        of = f"{METRIC_NAMES[self.metric]}\n" if aspect == "change" else ""
        return of + PATCH_ASPECTS[aspect]

    def sense(self, aspect: str) -> tuple[bool, bool]:
        """Whether the numbers lie on both sides of 0, and whether the less is the better there:
        red is always the worse for the answer."""
        down = self.run("donor") < self.run("base")
        return aspect != "spread", down and aspect not in ("spread", "change")

    def figure(self, aspect: str = "share", position: int | None = None) -> go.Figure:
        """Layers down, and across the positions, each with its clean and corrupted token, or the
        heads; blue is better for the answer. Hatched: an estimate, or not yet over all prompts."""
        if self.place in HEAD_PLACES:
            return self.grid(aspect, position).figure()
        return patch_figure(
            self.shown(aspect)[..., 0].T,
            self.exact[..., 0].T if aspect != "estimate" else None,
            self.columns(),
            self.name(aspect),
            PATCH_PLACES[self.place],
            *self.sense(aspect),
        )

    def columns(self) -> list[tuple[int, str, str]]:
        """The positions patched one by one, each with its two tokens, as `tokens` has them."""
        tokens = self.tokens()
        return [tokens[p] for p in self.positions or ()]

    def tokens(self) -> list[tuple[int, str, str]]:
        """Every position, with its clean and corrupted token; empty where pairs have others."""

        def at(p: int, tokens: tuple[tuple[str, ...], ...]) -> str:
            here = {one[p] if p < len(one) else "" for one in tokens}
            return here.pop() if len(here) == 1 else ""

        both = self.clean_tokens, self.corrupted_tokens
        return [(p, at(p, both[0]), at(p, both[1])) for p in range(len(self.differs))]

    def table(self, by: str | None = None, most: int | None = None) -> Rows:
        """One row a place and position, layer by layer; or, `by` an aspect, those with the greatest
        numbers first, `most` of them.

        `share`, `spread`, `change`, as PATCH_ASPECTS has them, and `estimate` where there is one;
        empty where they are not known. `exact`: 1 where known on every prompt, else 0. `same`: 1
        where both runs hold the same value. `n`: prompts. `base` and `donor`: those runs' means of
        `metric`.
        """
        aspects = [a for a in PATCH_ASPECTS if a != "estimate" or self.estimate is not None]
        values = {aspect: self.shown(aspect) for aspect in aspects}
        exact, columns, cells = self.exact, self.columns(), self.cells()
        if by is not None:
            order = np.nan_to_num(np.abs(self.shown(by)))
            cells = sorted(cells, key=lambda cell: -order[cell[2]])
        result: Rows = []
        for k, site, at in cells if most is None else cells[:most]:
            row: dict[str, object] = {**site_columns(site)}
            if columns:
                position, clean, corrupted = columns[k]
                row |= {"position": position, "clean": clean, "corrupted": corrupted}
            row |= {aspect: plain(values[aspect][at]) for aspect in aspects}
            row |= {"exact": int(exact[at]), "same": int(not self.unlike[at]), "n": len(self.pairs)}
            row |= {"base": plain(self.run("base")), "donor": plain(self.run("donor"))}
            result.append(row)
        return result


_SAME = 1e-6
"""A difference between the runs' scores below which there is nothing to have a share of."""
