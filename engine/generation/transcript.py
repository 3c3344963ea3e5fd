"""From the numbers of a step to what a reader is told: tokens by name, and what would re-tokenize.

RawRow by whoever reads the steps, on their own thread, so that the model need not wait for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..experiment.results import Ranking, Tokens
from ..text.rereading import Rereading
from ..text.tokens import Tokenizer
from .runs import Step, StepRun
from .step_numbers import StepNumbers


@dataclass(frozen=True)
class RawStep:
    """One step as the worker hands it over: `alive`, which runs had not ended before it."""

    index: int
    numbers: StepNumbers
    alive: tuple[bool, ...]
    forced: bool = False
    rewritten: tuple[tuple[int, ...] | None, ...] = ()


class Transcript:
    """Makes Steps of one generation, in their order.

    `which`: of the runs that are made, those that are the clean, the ablated and, where heads are
    switched, the unswitched one; where two of these are alike, one run is both.
    """

    def __init__(
        self, tokenizer: Tokenizer, prompt: Tokens, ends: frozenset[int], which: tuple[int, ...]
    ) -> None:
        self._tokenizer, self._ends, self._which = tokenizer, ends, which
        n = max(which) + 1
        self._texts = [Rereading(tokenizer, prompt) for _ in range(n)]
        self._ids: list[list[int]] = [list(prompt.ids) for _ in range(n)]
        self._parted = False

    def __call__(self, raw: RawStep) -> Step:
        first, other = self._which[:2]
        together = not self._parted and raw.alive[first] and raw.alive[other]
        runs = [self._run(raw, run) for run in range(len(raw.alive))]
        each = [runs[run] for run in self._which]
        if first != other:
            self._parted = self._parted or _differ(*each[:2])
        kl = raw.numbers.kl if together else None
        return Step(raw.index, each[0], each[1], self._parted, kl, *each[2:])

    def _run(self, raw: RawStep, run: int) -> StepRun | None:
        if not raw.alive[run]:
            return None
        numbers, taken = raw.numbers, int(raw.numbers.taken[run])
        ids, text = self._ids[run], self._texts[run]
        top = self._top(numbers, run, raw.alive[0 if run else self._which[1]])
        ids.append(taken)
        (added,) = text.add([taken])
        anew = text.ids()
        rewritten = raw.rewritten[run] if raw.rewritten else None
        retokenizes = anew is not None and anew != ids
        if rewritten is not None:
            self._ids[run] = list(rewritten)
        return StepRun(
            token_id=taken,
            token=self._tokenizer.pieces((taken,))[0],
            text=added,
            log_prob=float(numbers.log_prob[run]),
            prob=float(np.exp(numbers.log_prob[run])),
            rank=int(numbers.rank[run]),
            entropy=float(numbers.entropy[run]),
            top=top,
            forced=raw.forced,
            ends=taken in self._ends and not raw.forced,
            retokenizes=retokenizes,
            rewritten=rewritten,
            note=self._tokenizer.without_text((taken,)),
        )

    def _top(self, numbers: StepNumbers, run: int, beside: bool) -> Ranking:
        ids = numbers.ids[run]
        return Ranking(
            ids=ids,
            tokens=self._tokenizer.pieces(ids.tolist()),
            texts=self._texts[run].each(ids.tolist()),
            logits=numbers.logits[run],
            log_probs=numbers.log_probs[run],
            probs=np.exp(numbers.log_probs[run]),
            ranks=np.arange(1, len(ids) + 1),
            moves=numbers.moves[run] if beside else np.zeros_like(ids),
        )


def _differ(a: StepRun | None, b: StepRun | None) -> bool:
    if a is None or b is None:
        return a is not b
    return a.token_id != b.token_id or a.rewritten != b.rewritten
