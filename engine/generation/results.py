"""Results of generation: one text, many prompts, whole answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..experiment.results import Tokens
from ..showing.writing import Rows
from .figures import answers_figure, shares_figure, steps_figure
from .runs import AnswerScore, ManyRow, RankedAnswer, Run, RunTotals, Step

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Generated:
    """A whole generation: its steps, the prompt's tokens, how it ended, and what a reader must
    know, in sentences."""

    steps: tuple[Step, ...]
    prompt: Tokens
    ended: str
    notes: tuple[str, ...]

    def figure(self, number: str = "entropy") -> go.Figure:
        """One of STEP_NUMBERS, step by step, clean and ablated; a line stands where texts part."""
        return steps_figure(self.steps, number)

    def table(self) -> Rows:
        """The rows of every `Step.table`: one row a token, step by step, run by run."""
        return [row for step in self.steps for row in step.table()]


@dataclass(frozen=True)
class GeneratedMany:
    """Many prompts in every run, or as many as are done. `runs`: the clean run, each set, and
    behind it its controls, in the order of `rows`' continuations. `seed`: that of the controls and
    of the first prompt. `notes`: what a reader must know, in sentences."""

    rows: tuple[ManyRow, ...]
    runs: tuple[Run, ...]
    seed: int
    notes: tuple[str, ...]

    @property
    def totals(self) -> tuple[RunTotals, ...]:
        """What each run came to over these rows."""
        result = []
        for r, run in enumerate(self.runs):
            mine = [(row.continuations[r], row.continuations[0]) for row in self.rows]
            verdicts = [one.right for one, _ in mine if one is not None and one.right is not None]
            same = [a.ids == b.ids for a, b in mine if a is not None and b is not None]
            shares = [sum(some) / len(some) if some else None for some in (verdicts, same)]
            judged = (len(verdicts), sum(verdicts), shares[0])
            result.append(RunTotals(run, *judged, len(same), shares[1]))
        return tuple(result)

    def figure(self) -> go.Figure:
        """The share of prompts answered right, run by run, and each set's random controls as dots.

        Where no prompt has an answer, the share whose text is the clean one.
        """
        return shares_figure(self.totals)

    def table(self) -> Rows:
        """What each run came to: one row a run; shares from 0 to 1, empty where nothing was
        judged."""
        return [
            {
                "run": t.run.name,
                "ablations": t.run.ablations,
                "control_of": t.run.control_of,
                "judged": t.judged,
                "right": t.right,
                "share_right": "" if t.share_right is None else t.share_right,
                "compared": t.compared,
                "share_same": "" if t.share_same is None else t.share_same,
            }
            for t in self.totals
        ]

    def prompts_table(self) -> Rows:
        """One row a prompt and run, prompts in their order."""
        return [
            {
                "prompt": row.index,
                "text": row.prompt,
                "answer": row.answer,
                "seed": row.seed,
                "run": run.name,
                "ablations": run.ablations,
                "control_of": run.control_of,
                "generated": "" if one is None else one.text,
                "ids": "" if one is None else " ".join(map(str, one.ids)),
                "log_prob": "" if one is None else one.log_prob,
                "right": "" if one is None or one.right is None else one.right,
                "ended": "" if one is None else one.ended,
                "parts_at": "" if one is None or one.parts_at is None else one.parts_at,
                "retokenizes": "" if one is None else one.retokenizes,
                "note": "" if one is None else one.note,
                "error": error,
            }
            for row in sorted(self.rows, key=lambda row: row.index)
            for run, one, error in zip(self.runs, row.continuations, row.errors, strict=True)
        ]


@dataclass(frozen=True)
class RankedAnswers:
    """Whole answers ranked after a prompt: `answers` best first in the clean run, those that could
    not be scored last. `notes`: what a reader must know, in sentences."""

    tokens: Tokens
    answers: tuple[RankedAnswer, ...]
    notes: tuple[str, ...]

    @property
    def ablated(self) -> tuple[RankedAnswer, ...]:
        """The scored answers, best first in the ablated run."""
        scored = [a for a in self.answers if a.ablated is not None]
        return tuple(sorted(scored, key=lambda a: a.ablated.rank if a.ablated else 0))

    def figure(self, most: int = 40) -> go.Figure:
        """The joint log-probability of each answer, clean and ablated, the best of the clean run on
        top and `most` of them."""
        return answers_figure([one for one in self.answers if one.clean is not None][:most])

    def table(self) -> Rows:
        """Whole answers ranked: one row an answer, best first in the clean run.

        `*_log_probs` are its tokens' own, their sum is `*_log_prob` (natural logarithm).
        """

        def scores(run: str, score: AnswerScore | None) -> dict[str, object]:
            if score is None:
                return {
                    f"{run}_{n}": "" for n in ("rank", "log_prob", "prob", "share", "log_probs")
                }
            return {
                f"{run}_rank": int(score.rank),
                f"{run}_log_prob": score.log_prob,
                f"{run}_prob": score.prob,
                f"{run}_share": score.share,
                f"{run}_log_probs": " ".join(repr(float(one)) for one in score.log_probs),
            }

        return [
            {
                "answer": one.text,
                "tokens": " ".join(one.tokens),
                "ids": " ".join(map(str, one.ids)),
                "retokenizes": one.retokenizes,
                **scores("clean", one.clean),
                **scores("ablated", one.ablated),
                "move": int(one.move),
                "error": one.error,
            }
            for one in self.answers
        ]
