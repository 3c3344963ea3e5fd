"""Node attribution patching with integrated gradients: every head and MLP, from a few runs.

Hanna, Pezzelle & Belinkov 2024, "Have Faith in Faithfulness", the variant that interpolates the
inputs (EAP-IG, of nodes), after Sundararajan et al. 2017. With a the activation of a node in the
clean run, a' in the corrupted one, and m the metric,

    score = Σ (a' − a) · (1 / steps) Σₖ ∂m/∂a     at the inputs x' + (k / steps) (x − x')

over the positions and features of the node, k from 1 to `steps`, with x and x' what enters layer 0
in the two runs: what m is predicted to change by when the node alone becomes what it is in the
corrupted run (noising, as `patch(…, direction="noise")` and a sweep by `resample` do). One step is
the clean run alone: attribution patching (Nanda 2023). More see past saturation, as where a softmax
is all on one token in the clean run. Nodes are `z`, before the output projection, and `mlp_out`.

What it does not show: how the node would act beside others that change too, and anything along the
way from a to a' itself, as it is the inputs that are interpolated and not the node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..asking import ask
from ..attribution.backward import Gradients, Piece
from ..experiment.experiment import Experiment
from ..model.model import Model
from ..model.worker import Steps
from ..passes.pace import Pace
from ..tasks.pairs import Pair, as_pairs
from .asked import GradientQuestion, pairs_of, read, total_cost
from .results import NodeAttribution
from .runs import Runs, cut, integrated

_POINTS = ("z", "mlp_out")


@dataclass(frozen=True)
class AttributeNodes(GradientQuestion[NodeAttribution]):
    """A score for every head and MLP between the clean and the corrupted run (NAP-IG)."""

    asks = "node_attribution"

    def scored(
        self, model: Model, put: Callable[[NodeAttribution], None]
    ) -> Steps[NodeAttribution]:
        """Of prompts that are run together."""
        return _steps(model, self, put)


def node_attribution(
    e: Experiment,
    pairs: Sequence[Pair] | None = None,
    steps: int = 5,
    view: str | None = None,
) -> NodeAttribution:
    """Ask `AttributeNodes` and wait for the end. Raises: EngineError in words."""
    return ask(AttributeNodes(e, None if pairs is None else as_pairs(pairs), steps), view)


class _Scores:
    """The scores of prompts that are run together."""

    def __init__(self, model: Model, runs: Runs) -> None:
        self._runs = runs
        n, s = len(runs.targets), model.shape
        self.heads = np.full((n, s.n_layers, s.n_heads), np.nan)
        self.mlps = np.full((n, s.n_layers), np.nan)
        self.embedding = np.zeros(n)

    def visit(self, layer: int, _piece: Piece, gradients: Gradients) -> None:
        for (point, _), gradient in gradients.at.items():
            score = self._score(self._runs.captured[point, layer], gradient)
            scores = self.heads if point == "z" else self.mlps
            scores[:, layer] = np.nan_to_num(scores[:, layer]) + score

    def enter(self, gradient: Tensor) -> None:
        self.embedding += self._score(self._runs.embedded, gradient)

    def _score(self, passed: Tensor, gradient: Tensor) -> np.ndarray:
        """(a' − a) · gradient over positions and features, [prompt *head_index]."""
        product = self._runs.off(passed) * self._runs.summed(gradient)
        numbers: np.ndarray = product.double().sum((1, -1)).cpu().numpy()
        return numbers


def _steps(
    model: Model, asked: AttributeNodes, put: Callable[[NodeAttribution], None]
) -> Steps[NodeAttribution]:
    pace = Pace(model)
    yield 0.0
    result = yield from read(model, asked.e, asked.pairs, "node attribution")
    prompts, s = result.prompts, model.shape
    pace.total = total_cost(pace.block_cost, prompts, asked.steps)
    n = len(prompts)
    heads, mlps = np.full((n, s.n_layers, s.n_heads), np.nan), np.full((n, s.n_layers), np.nan)
    embedding, metric = np.full(n, np.nan), np.full((2, n), np.nan)

    def snapshot(progress: float) -> NodeAttribution:
        return NodeAttribution(
            experiment=asked.e,
            pairs=pairs_of(asked.e, asked.pairs),
            steps=asked.steps,
            metric=result.metric,
            heads=heads.copy(),
            mlps=mlps.copy(),
            embedding=embedding.copy(),
            clean=metric[0].copy(),
            corrupted=metric[1].copy(),
            notes=result.notes,
            progress=progress,
            seconds=pace.seconds,
            seconds_left=0.0 if progress >= 1 else pace.seconds_left,
        )

    for group in result.groups(model):
        for some in cut(pace, group, len(prompts[group[0]].target.ids), asked.steps):
            runs, scores = yield from integrated(
                model, pace, [prompts[i] for i in some], [result.corrupted[i] for i in some],
                result.metric, asked.steps, _POINTS, _POINTS, lambda runs: _Scores(model, runs),
            )  # fmt: skip
            heads[some], mlps[some] = scores.heads, scores.mlps
            embedding[some], metric[:, some] = scores.embedding, runs.metric.cpu().numpy()
            put(snapshot(min(pace.share, 0.999)))
    whole = snapshot(1.0)
    put(whole)
    return whole
