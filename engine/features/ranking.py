"""The features of an SAE by their effect on the answer: estimated, then exactly.

All are estimated from one forward and one backward pass a prompt (`readings`); those with the
greatest estimates, by size, are then switched off alone, as the change `zero f3.12` does: f · d is
taken from what the SAE reads, the rest and its error stay. The error is one node more, beside them:
without it stands what the SAE makes of the activation. The nodes are those of Marks et al. 2024.
Random features, of those on in some prompt and not measured, are the control.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..asking import ask
from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.numbers import whole_number
from ..experiment.parsed import Parsed, field
from ..experiment.positions import Positions
from ..experiment.sae import Sae
from ..experiment.sites import Feature
from ..model.model import Model
from ..model.worker import Steps
from ..passes.pace import Pace
from ..scoring.prompts import Prompt
from ..tasks.pairs import Pair, as_pairs
from .asked import AnswerQuestion, Begun, begun, off_already, pairs_of
from .places import Fitted
from .ranking_results import FeatureRanking
from .readings import Reading
from .shifted import Shift, run_shifted, runs_cost, runs_of, shift_cost

MOST_EXACT = 1_000


@dataclass(frozen=True)
class RankFeatures(AnswerQuestion[FeatureRanking]):
    """Features of an SAE by what switching each off alone does to the logit difference (to the
    answer's log-probability where no token tells answer and distractor apart), at the experiment's
    positions, before its ablations and changes if it has any.

    `pairs`: the prompts (None: the experiment's own). `exact`: of how many, those with the greatest
    estimates, the effect is measured. `controls`: how many random features, drawn with `seed` from
    the others that are on in some prompt. Told as it comes: the estimates first, then the exact
    effects.
    Raises: EngineError for a field that cannot be used.
    """

    asks = "rank_features"
    what = "ranking of features"
    n_plain = 3
    e: Experiment
    sae: Parsed[Sae, Sae | str] = field()
    pairs: tuple[Pair, ...] | None = None
    exact: int = 20
    controls: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        self.read_fields()
        for name, what, are in (
            ("exact", "How many features are measured", "features are measured"),
            ("controls", "How many random features there are", "are random"),
        ):
            n = whole_number(getattr(self, name), what)
            if not 0 <= n <= MOST_EXACT:
                raise ExperimentError(f"0 to {MOST_EXACT:,} {are}, not {n:,}.")
            object.__setattr__(self, name, n)

    @property
    def options(self) -> tuple[int, int, int]:
        """`exact`, `controls` and `seed`."""
        return self.exact, self.controls, self.seed

    def steps(
        self,
        model: Model,
        each: Sequence[Experiment],
        so_far: FeatureRanking | None,
        put: Callable[[FeatureRanking], None],
    ) -> Steps[FeatureRanking]:
        """How it is answered."""
        return _steps(model, self, each, so_far, put)


def rank_features(
    e: Experiment,
    sae: Sae | str,
    pairs: Sequence[Pair] | None = None,
    exact: int = 20,
    controls: int = 20,
    seed: int = 0,
    view: str | None = None,
) -> FeatureRanking:
    """Ask `RankFeatures` and wait for the end. Raises: EngineError in words."""
    given = None if pairs is None else as_pairs(pairs)
    return ask(RankFeatures(e, Sae.parse(sae), given, exact, controls, seed), view)


def _steps(
    model: Model,
    asked: RankFeatures,
    each: Sequence[Experiment],
    so_far: FeatureRanking | None,
    put: Callable[[FeatureRanking], None],
) -> Steps[FeatureRanking]:
    run = yield from begun(model, asked.sae, asked.e, each)
    pace, fitted = run.pace, run.fitted
    run.expect(asked.exact + asked.controls + 2)
    readings = yield from run.readings(model, estimated=so_far is None)
    known = _estimated(asked, run, readings) if so_far is None else so_far
    run.expect(known.measured.shape[1])

    def told(now: FeatureRanking, whole: bool = False) -> FeatureRanking:
        share = 1.0 if whole else min(pace.share, 0.999)
        put(result := replace(now, progress=share, seconds_left=pace.seconds_left))
        return result

    told(known)
    for group in run.groups:
        own = [run.prompts[i] for i in group]
        known = yield from _measured(model, pace, fitted, known, own, group, readings, told)
    return told(known, whole=True)


def _estimated(asked: RankFeatures, run: Begun, readings: Sequence[Reading]) -> FeatureRanking:
    """The estimates, and which features are measured and which are drawn."""
    n, d_sae = len(readings), run.fitted.dictionary.d_sae
    idle = off_already(asked.e, asked.sae)
    estimates, on = np.zeros((2, d_sae)), np.zeros(d_sae)
    for one in readings:
        at = one.on.cpu().numpy()
        values = np.where(np.isin(at, idle), 0.0, one.estimates)
        estimates[:, at] += values, values**2
        on[at] += 1
    mean = estimates[0] / n
    known = FeatureRanking(
        experiment=asked.e,
        sae=asked.sae,
        pairs=pairs_of(asked.e, asked.pairs),
        asked=asked.options,
        metric=run.metric,
        estimate=mean,
        spread=np.sqrt(np.maximum(estimates[1] / n - mean**2, 0.0)),
        share=on / n,
        error_estimate=np.array([one.of_error for one in readings]),
        features=(),
        random=(),
        at=(),
        measured=np.full((n, 0), np.nan),
        clean=np.full(n, np.nan),
        given=np.full(n, np.nan),
        notes=run.notes,
        progress=0.0,
        seconds_left=None,
    )
    order = known.by_estimate()
    features, others = order[: asked.exact], order[asked.exact :]
    drawn = np.random.default_rng(asked.seed).permutation(len(others))[: asked.controls]
    return replace(
        known,
        features=features,
        random=tuple(others[i] for i in drawn.tolist()),
        at=tuple(_places(readings, one) for one in features),
        measured=np.full((n, len(features) + 2 + len(drawn)), np.nan),
    )


def _places(readings: Sequence[Reading], one: Feature) -> str:
    """The positions at which a feature is on in some prompt, as they are written: `3-5,8`."""
    found: set[int] = set()
    for reading in readings:
        column = reading.column(one.index)
        if column is not None:
            there = (reading.values[:, column] > 0).tolist()
            found |= {p for p, yes in zip(reading.positions, there, strict=True) if yes}
    return str(Positions("indices", tuple(sorted(found)))) if found else ""


def _measured(
    model: Model,
    pace: Pace,
    fitted: Fitted,
    known: FeatureRanking,
    prompts: Sequence[Prompt],
    group: Sequence[int],
    readings: Sequence[Reading],
    told: Callable[[FeatureRanking], FeatureRanking],
) -> Steps[FeatureRanking]:
    """The exact effects on prompts that share a pass: those that are not known yet."""
    whole, clean, given = known.measured.copy(), known.clean.copy(), known.given.copy()
    each = shift_cost(pace, prompts[0], fitted.writes[1])
    n, n_nodes = len(known.features), whole.shape[1]
    if np.isfinite(whole[group]).all():
        pace.skip(runs_cost(pace, prompts) + n_nodes * len(group) * each)
        return known
    runs = yield from runs_of(model, pace, prompts, known.metric)
    clean[group], given[group] = runs.clean, runs.given
    idle = off_already(known.experiment, known.sae)
    rows: list[Shift] = []
    cells: list[tuple[int, int]] = []

    def row(text: int, node: int, added: Callable[[], Tensor] | None) -> None:
        i = group[text]
        if np.isfinite(whole[i, node]):
            return
        if added is None or not readings[i].positions:
            whole[i, node] = 0.0
            return
        rows.append(Shift(text, readings[i].positions, added))
        cells.append((i, node))

    for node in (n, n + 1, *range(n), *range(n + 2, n_nodes)):
        for text, i in enumerate(group):
            one = readings[i]
            if node == n:
                row(text, node, partial(torch.neg, one.error))
            elif node == n + 1:
                row(text, node, partial(one.without, fitted.dictionary, slice(None)))
            else:
                feature = (*known.features, *known.random)[node - 2 * (node > n)]
                at = None if feature.index in idle else one.column(feature.index)
                off = None if at is None else partial(one.without, fitted.dictionary, [at])
                row(text, node, off)
    pace.skip((n_nodes * len(group) - len(rows)) * each)

    def snapshot() -> FeatureRanking:
        return replace(known, measured=whole.copy(), clean=clean.copy(), given=given.copy())

    def done(part: Sequence[int], found: np.ndarray) -> None:
        for i, value in zip(part, found, strict=True):
            whole[cells[i]] = value - given[cells[i][0]]
        told(snapshot())

    yield from run_shifted(model, pace, runs, fitted.writes, rows, done)
    return snapshot()
