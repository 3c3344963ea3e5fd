"""What ablating each neuron would do, estimated from one forward and one backward pass a prompt.

Attribution patching (Nanda 2023) at single neurons: with a a neuron's activation in the baseline
run, v what the method puts in its place, and m the metric,

    m(v) − m(a) ≈ (v − a) · ∂m/∂a

summed over the positions changed; with `zero` that is −activation × gradient. What it does not
show: whatever is no straight line between a and v, as where a norm rescales what is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..attribution.backward import TOKENS, Gradients, Piece, backward_cost, differentiated
from ..attribution.estimate import change_made
from ..experiment.sites import Neuron
from ..model.model import Model
from ..model.worker import Steps
from ..passes import forward
from ..passes.blockwise import Blocks
from ..passes.hooks import ablated_sites
from ..passes.pace import Pace
from ..passes.points import Wanted, by_place
from ..scoring.prompts import Prompt


def estimate_cost(pace: Pace, prompts: Sequence[Prompt]) -> float:
    """Operations of `estimated`."""
    return backward_cost(pace, sum(len(p.target.ids) for p in prompts))


def estimated(
    model: Model, pace: Pace, prompts: Sequence[Prompt], metric: str, layers: Sequence[int]
) -> Steps[np.ndarray]:
    """Estimate the change of "logit_diff" or "log_prob" for prompts that share a pass.

    Returns: [prompt layer neuron], in the order of `layers`; 0 for neurons that are given already.
    """
    n_tokens, width = len(prompts[0].target.ids), model.shape.d_mlp or 1
    held = 6 * n_tokens * len(layers) * width * model.dtype.itemsize
    each = max(1, min(TOKENS // n_tokens, forward.CHUNK_BYTES // held))
    result = []
    for start in range(0, len(prompts), each):
        part = prompts[start : start + each]
        result.append((yield from _estimated(model, pace, part, metric, layers)))
    whole = np.concatenate(result)
    for site in ablated_sites(prompts[0].e.ablations, model.shape):
        if isinstance(site, Neuron) and site.layer in layers:
            whole[:, list(layers).index(site.layer), site.index] = 0.0
    return whole


def _estimated(
    model: Model, pace: Pace, prompts: Sequence[Prompt], metric: str, layers: Sequence[int]
) -> Steps[np.ndarray]:
    blocks = Blocks(model, [p.target.ids for p in prompts])
    result = np.zeros((len(prompts), len(layers), model.shape.d_mlp or 0))
    row = {("post", layer): i for i, layer in enumerate(layers)}

    def wanted(layer: int) -> Wanted:
        return by_place([[e for e in prompt.given if e.layer == layer] for prompt in prompts])

    def visit(_layer: int, piece: Piece, gradients: Gradients) -> None:
        for at, slope in gradients.at.items():
            if at in row:
                off = change_made(prompts, at, piece.activations[at].detach())
                result[:, row[at]] = (off * slope.float()).sum(1).cpu().numpy()

    yield from differentiated(
        model, pace, blocks, blocks.embedded, [p.target for p in prompts], metric, ("post",),
        wanted, visit,
    )  # fmt: skip
    return result
