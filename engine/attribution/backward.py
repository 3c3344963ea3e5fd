"""Gradients of a metric: blocks run forward and then backward one at a time,
each by its own small graph, so that others' work fits in between.

Gradients flow through activations; weights take none. What an activation's gradient is taken at is
a probe, a zero that is added to it as it passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from ..model.model import Model
from ..model.place import Place
from ..model.through import hook
from ..model.worker import Steps
from ..passes import forward
from ..passes.blockwise import Blocks
from ..passes.forward import Capture
from ..passes.pace import Pace
from ..passes.points import Wanted
from ..scoring.scorer import Target

PARTS = ("q", "k", "v")
TOKENS = 512
"""Tokens differentiated at a time: their graphs are held from the forward to the backward pass."""


@dataclass
class Piece:
    """One block's piece of the graph.

    `activations`: what passed at each place, before `probes`, the zeros added to it. `read`: what
    the projections of queries, keys and values were given, by part.
    """

    entering: Tensor
    leaving: Tensor
    activations: dict[Capture, Tensor]
    probes: dict[Capture, Tensor]
    read: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Gradients:
    """The metric's gradients in one block: at what enters and leaves it, and at its places."""

    entering: Tensor
    leaving: Tensor
    at: Mapping[Capture, Tensor]


Visit = Callable[[int, Piece, Gradients], None]
"""What is done with a layer on the way back, while the graph of its piece still stands."""


def backward_cost(pace: Pace, n_tokens: int) -> float:
    """Operations of `differentiated`."""
    return 3.0 * n_tokens * sum(pace.block_cost)


def differentiated(
    model: Model,
    pace: Pace,
    blocks: Blocks,
    hidden: Float[Tensor, "rows pos d_model"],
    targets: Sequence[Target],
    metric: str,
    points: Sequence[str],
    wanted: Callable[[int], Wanted],
    visit: Visit,
) -> Steps[tuple[Float[Tensor, " rows"], Float[Tensor, "rows pos d_model"]]]:
    """Run rows that enter layer 0 as `hidden`, and the gradient of each row's metric back.

    `wanted`: the edits of a layer. Returns: the metric of each row, and its gradient at what enters
    layer 0.
    """
    n = hidden.shape[0] * hidden.shape[1]
    pieces: list[Piece] = []
    for layer in range(model.shape.n_layers):

        def onward(_start: int, _stop: int, layer: int = layer, hidden: Tensor = hidden) -> None:
            pieces.append(_piece(model, blocks, layer, hidden, points, wanted(layer)))

        yield from pace.steps(1, n * pace.block_cost[layer], 0, onward)
        hidden = pieces[-1].leaving.detach()
    values, gradient = _of_the_metric(model, targets, hidden, metric)
    yield pace.share  # the vocabulary, there and back, takes as long as a block
    for layer in reversed(range(model.shape.n_layers)):

        def back(_start: int, _stop: int, layer: int = layer) -> None:
            nonlocal gradient
            piece = pieces.pop()
            at = list(piece.probes)
            entering, *slopes = torch.autograd.grad(
                piece.leaving,
                [piece.entering, *(piece.probes[a] for a in at)],
                gradient,
                retain_graph=True,
            )
            visit(layer, piece, Gradients(entering, gradient, dict(zip(at, slopes, strict=True))))
            gradient = entering

        yield from pace.steps(1, 2 * n * pace.block_cost[layer], 0, back)
    return values, gradient


def _piece(
    model: Model,
    blocks: Blocks,
    layer: int,
    hidden: Tensor,
    points: Sequence[str],
    wanted: Wanted,
) -> Piece:
    activations: dict[Capture, Tensor] = {}
    probes: dict[Capture, Tensor] = {}
    read: dict[str, Tensor] = {}

    def probing(at: Capture) -> Callable[[Tensor], Tensor]:
        def act(activation: Tensor) -> Tensor:
            activations[at] = activation
            probes[at] = torch.zeros_like(activation, requires_grad=True)
            return activation + probes[at]

        return act

    with torch.enable_grad(), ExitStack() as stack:
        entering = hidden.detach().requires_grad_()
        for point in points:
            if not model.reaches(point, layer):
                continue
            at = (point, layer)
            if point in PARTS:
                given = Place(model.place(*at).module, True)

                def reading(stream: Tensor, part: str = point) -> None:
                    read[part] = stream

                stack.callback(hook(given, blocks.n_tokens, reading).remove)
            stack.enter_context(model.hooked(*at, blocks.n_tokens, probing(at)))
        leaving = blocks.call(layer, entering, wanted)
    return Piece(entering, leaving, activations, probes, read)


def _of_the_metric(
    model: Model, targets: Sequence[Target], hidden: Tensor, metric: str
) -> tuple[Float[Tensor, " rows"], Float[Tensor, "rows pos d_model"]]:
    """The metric of rows that left the last block as `hidden`, and its gradient there."""
    with torch.enable_grad():
        leaving = hidden.detach().requires_grad_()
        values = metric_of(model, targets, leaving, metric)
        (gradient,) = torch.autograd.grad(values.sum(), leaving)
    return values.detach(), gradient


def metric_of(
    model: Model,
    targets: Sequence[Target],
    leaving: Float[Tensor, "rows pos d_model"],
    metric: str,
) -> Float[Tensor, " rows"]:
    """The "logit_diff" or "log_prob" of rows that left the last block as `leaving`."""
    rows = torch.arange(len(targets), device=leaving.device)
    vectors = leaving[:, list(targets[0].places)]
    logits = forward.unembed(model, vectors.flatten(0, 1)).unflatten(0, vectors.shape[:2])
    answers = torch.tensor([q.answer for q in targets], device=leaving.device)
    if metric == "log_prob":
        return logits.log_softmax(-1).gather(2, answers[:, :, None]).sum((1, 2))
    at = torch.tensor([q.decided for q in targets], device=leaving.device)
    own = answers.gather(1, at[:, None])[:, 0]
    others = [q.answer[q.decided] if q.distractor is None else q.distractor for q in targets]
    other = torch.tensor(others, device=leaving.device)
    return logits[rows, at, own] - logits[rows, at, other]
