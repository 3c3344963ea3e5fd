"""Scores by length while they are taken: filled place by place, with what must be told of them."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Several
from itertools import groupby

import numpy as np

from ..errors import EngineError
from ..experiment.experiment import Experiment
from ..experiment.results import Score
from ..scoring.scores import Line
from ..tasks.pairs import Pair
from .cutting import Sequence
from .results import LENGTH_METRICS, LengthRun, LengthScores

Place = tuple[str, int, int]
"""A run, which pair, and how many terms are shown but one."""


class LengthArrays:
    """The scores of some sequences at every length, and what could not be scored."""

    def __init__(
        self, e: Experiment, sequences: Several[Sequence], each: Several[Several[Experiment]]
    ) -> None:
        self._e, self._sequences, self._each = e, sequences, each
        self.runs = ("clean", "ablated") if e.every_change else ("clean",)
        lengths = max(map(len, each))
        empty = (len(each), lengths)
        self._values = {
            run: {metric: np.full(empty, np.nan) for metric in LENGTH_METRICS} for run in self.runs
        }
        self._refused: dict[Place, str] = {}
        self._said: dict[str, None] = {}
        self._late = 0

    @property
    def places(self) -> list[tuple[int, int]]:
        """Each pair at each length, the longest, which must do, first."""
        return [(i, k) for i, one in enumerate(self._each) for k in reversed(range(len(one)))]

    def refuse(self, place: Place, why: EngineError) -> None:
        """Note that there is no score at a place."""
        self._refused[place] = str(why)

    def fill(
        self, places: Several[Place], lines: Several[Line], scores: Iterable[tuple[Score, float]]
    ) -> None:
        """Take over the scores of lines, each at its place."""
        for (run, i, k), line, (answer, diff) in zip(places, lines, scores, strict=True):
            numbers = (answer.prob, answer.log_prob, answer.rank, diff)
            for metric, number in zip(LENGTH_METRICS, numbers, strict=True):
                self._values[run][metric][i, k] = number
            self._late += run == "ablated" and line.answers.decided > 0
            self._said |= dict.fromkeys(line.answers.notes)

    def whole(self, asked: int) -> LengthScores:
        """The result. `asked`: how many pairs there were, those without a sequence too."""
        clean, ablated = (
            LengthRun(**self._values[run]) if run in self.runs else None
            for run in ("clean", "ablated")
        )
        assert clean is not None
        shown = tuple(
            tuple(Pair(one.prompt, one.corrupted, one.answer, one.distractor) for one in each)
            for each in self._each
        )
        notes = (*self._left_out(asked), *self._missing(), *self._undecided(), *self._about())
        pairs = tuple(one.pair for one in self._sequences)
        return LengthScores(self._e, pairs, shown, clean, ablated, notes)

    def _left_out(self, asked: int) -> list[str]:
        n = asked - len(self._each)
        if not n:
            return []
        return [f"{n} of the {asked} prompts have no sequence to be shown term by term, left out."]

    def _missing(self) -> list[str]:
        """What could not be scored, run by run, with the first reason."""
        notes = []
        refused = sorted(self._refused, key=lambda place: (place[0] != "clean", *place[1:]))
        for run, group in groupby(refused, key=lambda place: place[0]):
            places = [p for p in group if run == "clean" or ("clean", *p[1:]) not in self._refused]
            if not places:
                continue
            what = "score" if run == "clean" else "ablated run"
            one = f"there is no {what}: {self._refused[places[0]]}"
            if len(self._each) > 1:
                one = f"{len(places)} {what}s are missing. The first: {self._refused[places[0]]}"
            notes.append(f"With {_terms(k + 1 for _, _, k in places)} shown, {one}")
        return notes

    def _undecided(self) -> list[str]:
        clean = self._values["clean"]
        without = np.isnan(clean["logit_diff"]) & np.isfinite(clean["prob"])
        if not without.any():
            return []
        if not any(one.pair.distractor for one in self._sequences):
            return ["There is no distractor, so there is no logit difference."]
        lengths = _terms(int(k) + 1 for k in np.flatnonzero(without.any(0)))
        whose = f"{without.any(1).sum()} of the {len(without)} prompts have"
        return [
            f"With {lengths} shown, {'there is' if len(without) == 1 else whose} no logit "
            "difference: no single token tells answer and distractor apart."
        ]

    def _about(self) -> list[str]:
        """What answer, distractor and the prompts' ends are, where that is not plain to see."""
        notes = list(self._said) if len(self._each) == 1 else []
        begun = next((s for s in self._sequences if s.begun), None)
        if begun is not None:
            notes.append(
                "At every length the prompt ends in what answer and distractor both begin with, as "
                "it does whole; probabilities are of the rest."
            )
        if any(one.has_own_distractor for one in self._sequences):
            notes.append(
                "Shown whole, the distractor is the prompt's own; before, it is the last term "
                "shown."
            )
        return notes + self._by_position()

    def _by_position(self) -> list[str]:
        """What methods that act by position leave alone, and what they average over."""
        methods = {c.becomes for c in self._e.every_change if c.becomes.kind.by_position}
        names, notes = " and ".join(sorted(map(str, methods))), []
        if methods and self._late:
            n = int(np.isfinite(self._values["ablated"]["prob"]).sum())
            notes.append(
                f"In {self._late} of {n} ablated runs answer and distractor begin with the same "
                f"tokens and are decided past the prompt's end, where {names} changes nothing."
            )
        fewer = [
            k + 1
            for each in self._each
            for k, one in enumerate(each)
            if methods and len(one.references) < len(each[-1].references)
        ]
        if fewer:
            notes.append(
                f"With {_terms(fewer)} shown, {names} averages over fewer references in some "
                "runs: those that have as many tokens there, each once."
            )
        return notes


def _terms(numbers: Iterable[int]) -> str:
    """Numbers of terms in words: “1 term”, “1 and 2 terms”, “1, 2 and 5 terms”."""
    each = [str(n) for n in sorted(set(numbers))]
    named = " and ".join(filter(None, (", ".join(each[:-1]), each[-1])))
    return f"{named} term{'' if each == ['1'] else 's'}"
