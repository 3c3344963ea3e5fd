"""What changing each site would do, estimated from one forward and one backward pass a prompt.

Attribution patching (Nanda 2023; Syed, Rager & Conmy 2023): with a the activation in the baseline
run, v what the method puts in its place, and m the metric,

    m(v) − m(a) ≈ (v − a) · ∂m/∂a

summed over the positions changed. What it does not show: anything that is not a straight line
between a and v, such as a softmax that saturates or a norm that rescales; it is best for small
changes and worst for the first layers and for heads that compete.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ..experiment.sites import MLP, Head
from ..model.model import Model
from ..model.place import SOFTMAX
from ..model.worker import Steps
from ..passes import forward
from ..passes.blockwise import Blocks
from ..passes.hooks import ablated_sites, apply, edit
from ..passes.pace import Pace
from ..passes.points import Wanted, by_place
from ..scoring.prompts import Prompt
from .backward import TOKENS, Gradients, Piece, backward_cost, differentiated

OF_HEADS = ("z", "q", "k", "v", "pattern")
"""Places with a number for each head."""


def estimate_cost(pace: Pace, prompts: Sequence[Prompt]) -> float:
    """Operations of `estimated`."""
    return backward_cost(pace, sum(len(p.target.ids) for p in prompts))


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
    each = max(1, TOKENS // len(prompts[0].target.ids))
    for start in range(0, len(prompts), each):
        part = prompts[start : start + each]
        result.append((yield from _estimated(model, pace, part, metric, points)))
    return {point: np.concatenate([one[point] for one in result]) for point in points}


def _estimated(
    model: Model, pace: Pace, prompts: Sequence[Prompt], metric: str, points: Sequence[str]
) -> Steps[dict[str, np.ndarray]]:
    blocks = Blocks(model, [p.target.ids for p in prompts])
    shape = (len(prompts), blocks.n_tokens, model.shape.n_layers)
    heads = (model.shape.n_heads,)
    result = {p: np.full((*shape, *heads) if p in OF_HEADS else shape, np.nan) for p in points}

    def wanted(layer: int) -> Wanted:
        return by_place([[e for e in prompt.given if e.layer == layer] for prompt in prompts])

    def visit(layer: int, piece: Piece, gradients: Gradients) -> None:
        for at, slope in gradients.at.items():
            point, off = at[0], change_made(prompts, at, piece.activations[at].detach())
            effect = (off * _by_position(point, slope).float()).sum(-1).cpu().numpy()
            if point in ("k", "v"):
                effect = effect.repeat(model.shape.n_heads // effect.shape[-1], axis=-1)
            result[point][:, :, layer] = effect

    targets = [p.target for p in prompts]
    yield from differentiated(
        model, pace, blocks, blocks.embedded, targets, metric, points, wanted, visit
    )
    return result


def change_made(prompts: Sequence[Prompt], at: forward.Capture, activation: Tensor) -> Tensor:
    """What changing all of a place would add to its activation, in float32, positions second; 0 at
    positions where nothing is ablated."""
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
