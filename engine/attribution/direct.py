"""Direct logit attribution: the logit difference as a sum over what each part of a run writes.

Every head and MLP adds a vector c to the residual stream x, and after the last layer the logit
difference is, but for the final norm's scale, linear in x (Elhage et al. 2021; Wang et al. 2022).
With g that norm's weights, s its scale in this very run, and f what the model multiplies logits by,

    number = f s · (c − mean(c)) ⊙ g · (W_U[answer] − W_U[distractor])     no mean in an RMSNorm

at the position where answer and distractor part, from the stored weights, nothing folded. Where a
norm stands behind the output projection (Gemma 2 and 3, OLMo 2), it is held at its scale too, so
that the heads of a layer add up to what its attention writes.

What it does not show: what a part does through later ones, which read what it writes. A head that
only moves information for others has a small number here and may still be needed; and as each run
has scales of its own, a part that is the same in both may count otherwise in each.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..experiment.experiment import Experiment
from ..model.model import Model
from ..model.worker import Steps
from ..registry import model_of
from ..showing.site_grid import SiteGrid
from .results import DirectAttribution, DirectRun
from .runs import Ended, both_runs, there
from .written import heads_parts


def direct_attribution(e: Experiment, view: str | None = None) -> DirectAttribution:
    """What each head, each MLP, the embedding and the biases write towards answer − distractor.

    Returns: DirectAttribution, clean and ablated, in logits, positive for the answer.
    Raises: Undecided where no single token tells answer and distractor apart; EngineError in words,
    also for a family whose parts do not add up to its logits.
    """
    model = model_of(e)
    return model.worker.submit(_direct(model, e), view=view).result()


def _direct(model: Model, e: Experiment) -> Steps[DirectAttribution]:
    names = there(model, "z", "attn_out", "mlp_out") | {("resid_pre", 0)}
    runs = yield from both_runs(model, e, names)
    changed = any(edit.point.startswith("resid") for edit in runs.edits)
    clean = ablated = _attributed(model, runs.clean, bool(runs.others))
    if runs.ablated is not runs.clean:
        ablated = _attributed(model, runs.ablated, bool(runs.others or changed))
    notes = _notes(model, clean, runs.others, changed)
    return DirectAttribution(clean, ablated, (*notes, *runs.notes))


def _attributed(model: Model, run: Ended, more: bool) -> DirectRun:
    """One run told part by part; whether there is `more` in its stream than the embedding and what
    heads and MLPs write."""
    vectors = {at: vector.detach().cpu().double() for at, vector in run.vectors.items()}
    shape, read = model.shape, run.read
    heads = torch.full((shape.n_layers, shape.n_heads), torch.nan, dtype=torch.float64)
    mlps = torch.full((shape.n_layers,), torch.nan, dtype=torch.float64)
    biases, embedding = 0.0, float(vectors["resid_pre", 0] @ read.toward)
    left: Tensor = vectors["resid_post", shape.n_layers - 1] - vectors["resid_pre", 0]
    for layer in range(shape.n_layers):
        parts = heads_parts(model, layer, run.vectors, read.toward)
        if parts is not None:
            heads[layer] = parts.numbers.sum(-1)
            biases += parts.bias
            left = left - vectors["attn_out", layer]
        if ("mlp_out", layer) in vectors:
            mlps[layer] = vectors["mlp_out", layer] @ read.toward
            left = left - vectors["mlp_out", layer]
    named = {
        "embedding": embedding,
        "attention_biases": biases,
        "other": float(left @ read.toward) if more else 0.0,
        "norm_bias": read.norm_bias,
        "unembed_bias": read.unembed_bias,
        "cap": read.cap,
    }
    summed = float(heads.nansum() + mlps.nansum()) + sum(named.values())
    grid = SiteGrid(heads.numpy(), mlps.numpy(), "direct, logits", signed=True)
    return DirectRun(grid, **named, rest=read.logit_diff - summed, logit_diff=read.logit_diff)


def _notes(model: Model, clean: DirectRun, others: tuple[int, ...], changed: bool) -> list[str]:
    notes = []
    if not (clean.attention_biases or clean.norm_bias or clean.unembed_bias):
        notes.append(
            "No biases beside those within MLPs: neither output projections nor the final norm nor "
            "the unembedding add any."
        )
    if others:
        layers = ", ".join(map(str, others))
        notes.append(
            f"What layer{'s' if len(others) > 1 else ''} {layers} add otherwise than by heads and "
            "MLPs that can be switched is “other”."
        )
    if changed:
        notes.append(
            "What a change makes of the residual stream itself is “other”; parts before it keep "
            "their numbers, of which it takes away or adds."
        )
    if clean.cap:
        before = clean.logit_diff - clean.cap
        notes.append(
            f"{model.checkpoint.architecture} caps its logits: the parts add up to what the "
            f"difference is before that (clean {before:+.3f}), and “cap” is what the cap makes of "
            "it, which no part can be given a share of."
        )
    return notes
