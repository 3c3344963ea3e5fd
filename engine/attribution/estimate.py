"""What changing each site would do, estimated from one forward and one backward pass a prompt.

Attribution patching (Nanda 2023; Syed, Rager & Conmy 2023): with a the activation in the baseline
run, v what the method puts in its place, and m the metric,

    m(v) − m(a) ≈ (v − a) · ∂m/∂a

summed over the positions changed. What it does not show: anything that is not a straight line
between a and v, such as a softmax that saturates or a norm that rescales; it is best for small
changes and worst for the first layers and for heads that compete.

Blocks are run forward and then backward one at a time, each by its own small graph, so that others'
work fits in between. Gradients flow through activations; weights take none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..experiment.sites import MLP, Head
from ..model.model import Model
from ..model.place import SOFTMAX
from ..model.worker import Steps
from ..passes import forward
from ..passes.blockwise import Blocks
from ..passes.hooks import ablated_sites, apply, edit
from ..passes.pace import Pace
from ..passes.points import by_place
from ..scoring.prompts import Prompt

OF_HEADS = ("z", "q", "k", "v", "pattern")
"""Places with a number for each head."""
_TOKENS = 512
"""Tokens differentiated at a time: their graphs are held from the forward to the backward pass."""


@dataclass
class _Block:
    """One block's piece of the graph. `probes`: what is added to an activation, which is zero."""

    entering: Tensor
    leaving: Tensor
    activations: dict[forward.Capture, Tensor]
    probes: dict[forward.Capture, Tensor]


def estimate_cost(pace: Pace, prompts: Sequence[Prompt]) -> float:
    """Operations of `estimated`."""
    return 3 * sum(len(p.target.ids) for p in prompts) * sum(pace.block_cost)


def estimated(
    model: Model, pace: Pace, prompts: Sequence[Prompt], metric: str
) -> Steps[tuple[np.ndarray, np.ndarray]]:
    """Estimate the change of "logit_diff" or "log_prob" for prompts of one token count and as many
    places.

    Returns: heads [prompt pos layer head_index] and MLPs [prompt pos layer], at each position
    alone; 0 at positions where nothing is ablated and for sites that are given already, NaN where
    the model has no such site.
    """
    result = yield from estimated_at(model, pace, prompts, metric, ("z", "mlp_out"))
    heads, mlps = result["z"], result["mlp_out"]
    for site in ablated_sites(prompts[0].e.ablations, model.shape):
        match site:
            case Head(layer, head):
                heads[:, :, layer, head] = 0.0
            case MLP(layer):
                mlps[:, :, layer] = 0.0
    return heads, mlps


def estimated_at(
    model: Model, pace: Pace, prompts: Sequence[Prompt], metric: str, points: Sequence[str]
) -> Steps[dict[str, np.ndarray]]:
    """The same of the places named: "z", "q", "k", "v", "pattern" [prompt pos layer head_index],
    keys and values for each of the query heads that read them; the stream's, "mlp_out" and
    "attn_out" [prompt pos layer].
    """
    result: list[dict[str, np.ndarray]] = []
    each = max(1, _TOKENS // len(prompts[0].target.ids))
    for start in range(0, len(prompts), each):
        part = prompts[start : start + each]
        result.append((yield from _estimated(model, pace, part, metric, points)))
    return {point: np.concatenate([one[point] for one in result]) for point in points}


def _estimated(
    model: Model, pace: Pace, prompts: Sequence[Prompt], metric: str, points: Sequence[str]
) -> Steps[dict[str, np.ndarray]]:
    blocks = Blocks(model, [p.target.ids for p in prompts])
    n = blocks.n_tokens * len(prompts)
    pieces: list[_Block] = []
    hidden = blocks.embedded
    for layer in range(model.shape.n_layers):

        def onward(start: int, stop: int, layer: int = layer, hidden: Tensor = hidden) -> None:
            pieces.append(_onward(model, blocks, layer, hidden, prompts, points))

        yield from pace.steps(1, n * pace.block_cost[layer], 0, onward)
        hidden = pieces[-1].leaving.detach()
    gradient = _of_the_metric(model, prompts, hidden, metric)
    shape = (len(prompts), blocks.n_tokens, model.shape.n_layers)
    heads = (model.shape.n_heads,)
    result = {p: np.full((*shape, *heads) if p in OF_HEADS else shape, np.nan) for p in points}
    for layer in reversed(range(model.shape.n_layers)):

        def back(start: int, stop: int, layer: int = layer) -> None:
            nonlocal gradient
            piece = pieces.pop()
            at = list(piece.probes)
            gradient, *slopes = torch.autograd.grad(
                piece.leaving, [piece.entering, *(piece.probes[a] for a in at)], gradient
            )
            for (point, _), g in zip(at, slopes, strict=True):
                off = _change(prompts, (point, layer), piece.activations[(point, layer)])
                effect = (off * _by_position(point, g).float()).sum(-1).cpu().numpy()
                if point in ("k", "v"):
                    effect = effect.repeat(model.shape.n_heads // effect.shape[-1], axis=-1)
                result[point][:, :, layer] = effect

        yield from pace.steps(1, 2 * n * pace.block_cost[layer], 0, back)
    return result


def _onward(
    model: Model,
    blocks: Blocks,
    layer: int,
    hidden: Tensor,
    prompts: Sequence[Prompt],
    points: Sequence[str],
) -> _Block:
    activations: dict[forward.Capture, Tensor] = {}
    probes: dict[forward.Capture, Tensor] = {}

    def probing(at: forward.Capture) -> Callable[[Tensor], Tensor]:
        def act(activation: Tensor) -> Tensor:
            activations[at] = activation.detach()
            probes[at] = torch.zeros_like(activation, requires_grad=True)
            return activation + probes[at]

        return act

    wanted = by_place([[e for e in prompt.given if e.layer == layer] for prompt in prompts])
    with torch.enable_grad(), ExitStack() as stack:
        entering = hidden.detach().requires_grad_()
        for point in points:
            if model.reaches(point, layer):
                at = (point, layer)
                stack.enter_context(model.hooked(*at, blocks.n_tokens, probing(at)))
        leaving = blocks.call(layer, entering, wanted)
    return _Block(entering, leaving, activations, probes)


def _of_the_metric(
    model: Model, prompts: Sequence[Prompt], hidden: Tensor, metric: str
) -> Float[Tensor, "prompt pos d_model"]:
    """The metric's gradient at what leaves the last block."""
    targets = [p.target for p in prompts]
    rows = torch.arange(len(targets), device=hidden.device)
    with torch.enable_grad():
        leaving = hidden.detach().requires_grad_()
        vectors = leaving[:, list(targets[0].places)]
        logits = forward.unembed(model, vectors.flatten(0, 1)).unflatten(0, vectors.shape[:2])
        answers = torch.tensor([q.answer for q in targets], device=hidden.device)
        if metric == "log_prob":
            value = logits.log_softmax(-1).gather(2, answers[:, :, None]).sum()
        else:
            at = torch.tensor([q.decided for q in targets], device=hidden.device)
            own = answers.gather(1, at[:, None])[:, 0]
            others = [
                q.answer[q.decided] if q.distractor is None else q.distractor for q in targets
            ]
            other = torch.tensor(others, device=hidden.device)
            value = (logits[rows, at, own] - logits[rows, at, other]).sum()
        return torch.autograd.grad(value, leaving)[0]


def _change(prompts: Sequence[Prompt], at: forward.Capture, activation: Tensor) -> Tensor:
    """What changing all of a place would add to its activation, in float32, positions second."""
    edits = [
        (row, edit(at, None, prompt.e.method, prompt.positions, prompt.values.get(at)))
        for row, prompt in enumerate(prompts)
        if prompt.positions
    ]
    activation = _by_position(at[0], activation)
    return (apply(edits, activation) - activation).float()


def _by_position(point: str, activation: Tensor) -> Tensor:
    """With positions second: of a pattern, [rows query_pos head_index key_pos]."""
    return activation.transpose(1, 2) if point in SOFTMAX else activation
